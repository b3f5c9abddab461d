/** Who asks: a key, a token, a name and password that get tokens, or the browser's session. */

import type { AccessToken } from "./models.js";

/** A token that ends sooner than this is not sent any more. */
const SPARE_S = 30;

export interface Credentials {
  /** A key (`kbg_…`), for programs. */
  apiKey?: string;
  /** An access token that somebody else got. */
  token?: string;
  /** Tokens are got with these when they are needed, and again when they end. */
  username?: string;
  password?: string;
  /** The session of a company sign-in, in a page of the gateway's own origin. */
  cookies?: boolean;
}

/** What is sent as `Authorization`. */
export class Session {
  credential: string | undefined;
  readonly cookies: boolean;
  private user: { username: string; password: string } | undefined;
  private endsAt = Infinity;

  /** Throws `TypeError` where more than one is given, or half of one. */
  constructor(
    given: Credentials,
    /** A clock in seconds that never goes back. */
    readonly now: () => number = () => performance.now() / 1000,
  ) {
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
    if (username !== undefined && password !== undefined) this.user = { username, password };
  }

  /** The name and password to log in with again, if they are known. */
  get account(): { username: string; password: string } | undefined {
    return this.user;
  }

  /** There is no token yet, or it is about to end, and there is a way to get another one. */
  get needsLogin(): boolean {
    if (this.user === undefined) return false;
    return this.credential === undefined || this.now() > this.endsAt - SPARE_S;
  }

  took(token: AccessToken): void {
    this.credential = checked(token.access_token);
    // A token that is good for less than the spare time is used all the same.
    this.endsAt = this.now() + Math.max(token.expires_in, 2 * SPARE_S);
  }

  /** This one was refused; a newer one, which another request got meanwhile, stays. */
  dropped(refused: string | undefined): void {
    if (this.credential === refused) this.credential = undefined;
  }

  forget(): void {
    this.credential = this.user = undefined;
  }
}

function checked(credential: string | undefined): string | undefined {
  if (credential !== undefined && !/^[!-~]+$/.test(credential)) {
    throw new TypeError("A credential is one word of ASCII; this one is not.");
  }
  return credential;
}
