export class Tally {
    onProgress;
    progress;
    constructor(total, onProgress) {
        this.onProgress = onProgress;
        this.progress = { read: 0, sent: 0, total };
    }
    read(bytes) {
        this.tell({ ...this.progress, read: bytes });
    }
    had(bytes) {
        if (bytes > 0)
            this.tell({ ...this.progress, sent: this.progress.sent + bytes });
    }
    sending() {
        let before = 0;
        return {
            has: (bytes) => {
                if (bytes === before)
                    return;
                const sent = this.progress.sent + bytes - before;
                before = bytes;
                this.tell({ ...this.progress, sent });
            },
        };
    }
    tell(progress) {
        this.progress = progress;
        this.onProgress?.(progress);
    }
}
