const SPARE_S = 30;
export class Session {
    now;
    credential;
    cookies;
    user;
    endsAt = Infinity;
    constructor(given, now = () => performance.now() / 1000) {
        this.now = now;
        const { apiKey, token, username, password, cookies = false } = given;
        const ways = [apiKey, token, username ?? password, cookies || undefined];
        if (ways.filter((one) => one !== undefined).length > 1) {
            throw new TypeError("Give one of apiKey, token, username with password, and cookies.");
        }
        if ((username === undefined) !== (password === undefined)) {
            throw new TypeError("A username needs a password, and a password a username.");
        }
        this.credential = checked(apiKey ?? token);
        this.cookies = cookies;
        if (username !== undefined && password !== undefined)
            this.user = { username, password };
    }
    get account() {
        return this.user;
    }
    get needsLogin() {
        if (this.user === undefined)
            return false;
        return this.credential === undefined || this.now() > this.endsAt - SPARE_S;
    }
    took(token) {
        this.credential = checked(token.access_token);
        this.endsAt = this.now() + Math.max(token.expires_in, 2 * SPARE_S);
    }
    dropped(refused) {
        if (this.credential === refused)
            this.credential = undefined;
    }
    forget() {
        this.credential = this.user = undefined;
    }
}
function checked(credential) {
    if (credential !== undefined && !/^[!-~]+$/.test(credential)) {
        throw new TypeError("A credential is one word of ASCII; this one is not.");
    }
    return credential;
}
