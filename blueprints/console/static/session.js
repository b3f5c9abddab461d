// @ts-check
/**
 * Who is signed in, in this tab: by a token kept in memory and `sessionStorage`, or by the cookie of
 * the company's sign-in, which scripts cannot see. Nothing of it outlives the tab.
 */

const KEY = "kb.session";
const RETURN = "kb.return";
const WHOSE = "kb.whose";

/**
 * Whom things are kept for, in one word.
 *
 * @param {{tenant: string, subject: string}} me
 */
export function whose({ tenant, subject }) {
  return `${tenant}/${subject}`;
}

/** @typedef {{token: string, expiresAt: number | null}} Kept `expiresAt` in milliseconds */

export class Session {
  /** @param {Storage} [storage] */
  constructor(storage = sessionStorage) {
    this._storage = storage;
    this._kept = /** @type {Kept | null} */ (read(storage));
    this._cookie = false;
  }

  /** Whether anybody is signed in, as far as this page knows. */
  get open() {
    return this._cookie || this._kept !== null;
  }

  /** The token; `null` where a cookie stands for it, or nobody is signed in. */
  get token() {
    return this._kept?.token ?? null;
  }

  /** When it ends, in milliseconds; `null` where that is not known. */
  get expiresAt() {
    return this._kept?.expiresAt ?? null;
  }

  /** Signed in with a token. @param {string} token @param {string | null} [expiresAt] RFC 3339 */
  begin(token, expiresAt = null) {
    this._cookie = false;
    this._kept = { token, expiresAt: expiresAt ? Date.parse(expiresAt) : null };
    this._storage.setItem(KEY, JSON.stringify(this._kept));
  }

  /** Signed in by a cookie. */
  beginWithCookie() {
    this._cookie = true;
    this._kept = null;
  }

  /** Forgets all that this tab holds: the token, conversations, uploads to be resumed. */
  end() {
    this._cookie = false;
    this._kept = null;
    this._storage.clear();
  }

  /** The token alone: somebody whose time is up comes back to his conversations. */
  lapse() {
    this._cookie = false;
    this._kept = null;
    this._storage.removeItem(KEY);
  }

  /**
   * What is kept is `whose`: if it was somebody else's, all of it but the session is forgotten.
   *
   * @param {string} whose
   */
  claim(whose) {
    const before = this._storage.getItem(WHOSE);
    if (before !== null && before !== whose) {
      this._storage.clear();
      if (this._kept) this._storage.setItem(KEY, JSON.stringify(this._kept));
    }
    this._storage.setItem(WHOSE, whose);
  }

  /** Where to go once signed in. @param {string} hash */
  rememberPlace(hash) {
    this._storage.setItem(RETURN, hash);
  }

  /** That place, once. @returns {string | null} */
  takePlace() {
    const hash = this._storage.getItem(RETURN);
    this._storage.removeItem(RETURN);
    return hash;
  }
}

/** @param {Storage} storage @returns {Kept | null} */
function read(storage) {
  try {
    const kept = JSON.parse(storage.getItem(KEY) ?? "null");
    return typeof kept?.token === "string" ? kept : null;
  } catch {
    return null;
  }
}

/**
 * The token that the address brings in its fragment (`#token=…`), which is taken out of it at once:
 * neither the history nor a copied address has it.
 *
 * @returns {string | null}
 */
export function takeStartToken() {
  if (!location.hash.startsWith("#token=")) return null;
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  history.replaceState(null, "", location.pathname);
  return token || null;
}
