/** What the screens are given. Read by the type checker alone; it is not part of what is served. */

import type { KnowledgeBase } from "./client/index.js";
import type { Session } from "./session.js";
import type { NoticeOptions } from "./notices.js";

/** What an element may hold: lists count as what is in them, and nothing as nothing. */
export type Child = Node | string | number | false | null | undefined | Child[];

export interface Me {
  subject: string;
  tenant: string;
  roles: string[];
  scopes: string[] | null;
  auth_method: string;
  expires_at: string | null;
  name: string | null;
}

export interface App {
  /** The client, signed in as whoever this page is signed in as. */
  readonly kb: KnowledgeBase;
  /** The answer of `/auth/me`. */
  readonly me: Me;
  readonly session: Session;
  /** Whose things an admin looks at; null is his own. */
  owner: string | null;
  /** Ends this sign-in, or with `allTokens` all that the user has; then the sign-in is shown. */
  signOut(options?: { allTokens?: boolean }): Promise<void>;
  /** Has `end` called when this user signs out, to end what goes on beside the screens. */
  atSignOut(end: () => void): void;
  /** Opens a screen: `app.go("#/documents")`. */
  go(hash: string): void;
  notice(text: string | Node, options?: NoticeOptions): () => void;
  confirm(asked: { title: string; text?: string | Node; action: string; danger?: boolean }): Promise<boolean>;
  /** Says it to screen readers, politely. */
  announce(text: string): void;
  /** Aborted when another screen opens. */
  signal(): AbortSignal;
  /** Shows an error that belongs to no place on the screen; one that ends the session leads to the sign-in. */
  failed(error: unknown): void;
}

export interface Params {
  id: string | null;
  query: URLSearchParams;
}

export interface Screen {
  title: string;
  show(main: HTMLElement, app: App, params: Params): Promise<(() => void) | void>;
}
