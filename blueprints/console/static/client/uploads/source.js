export function sizeOf({ start, end, head, tail }) {
    return (head?.length ?? 0) + (end - start) + (tail?.length ?? 0);
}
