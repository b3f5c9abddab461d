// @ts-check
// What the Documents screens know and do that goes on while other screens are open: one for each user.

import { newestFirst } from "./choosing.js";
import { Listing } from "./listing.js";
import { Uploads } from "./queue.js";
import { Watching } from "./watching.js";
import { whose } from "../../session.js";

/** A listing, who watches its documents, and how the screen shows them. */
class Shelf {
  /**
   * @param {any} app
   * @param {string|undefined} owner whose documents, where an admin looks at another's
   */
  constructor(app, owner) {
    this.owner = owner;
    this.listing = new Listing(app, owner);
    this.watching = new Watching(app, this.listing);
    this.view = newestFirst();
    this.first = 0;
    /** @type {Set<string>} */
    this.picked = new Set();
  }
}

class Shelves {
  /** @type {Map<string, Shelf>} */
  #shelves = new Map();

  /**
   * @param {any} app
   * @param {string} who
   */
  constructor(app, who) {
    this.app = app;
    this.who = who;
    this.uploads = new Uploads(app, this.of(undefined));
  }

  /** @param {string|undefined} owner */
  of(owner) {
    const shelf = this.#shelves.get(owner ?? "") ?? new Shelf(this.app, owner);
    this.#shelves.set(owner ?? "", shelf);
    return shelf;
  }

  end() {
    this.uploads.end();
    for (const { watching } of this.#shelves.values()) watching.stop();
  }
}

/** @typedef {Shelf} OneShelf */

/**
 * Of another user, on the same page, nothing is known and nothing goes on.
 * @param {any} app
 * @returns {Shelves}
 */
function shelvesOf(app) {
  const who = whose(app.me);
  if (app.shelves?.who !== who) {
    app.shelves?.end();
    app.shelves = new Shelves(app, who);
    app.atSignOut(() => {
      app.shelves?.end();
      app.shelves = undefined;
    });
  }
  return app.shelves;
}

/** @param {any} app */
export function shelfOf(app) {
  return shelvesOf(app).of(app.owner || undefined);
}

/** @param {any} app */
export function uploadsOf(app) {
  return shelvesOf(app).uploads;
}
