// @ts-check
// The files somebody dropped or chose, those in folders too.

/**
 * @typedef {object} Chosen
 * @property {File} file
 * @property {string} path its name, behind those of the folders it was found in
 * @property {boolean} inFolder
 */

/**
 * @param {FileList|File[]} files of an `<input type="file">`
 * @returns {Chosen[]}
 */
export function fromInput(files) {
  return [...files].map((file) => {
    const path = file.webkitRelativePath || file.name;
    return { file, path, inFolder: path.includes("/") };
  });
}

/**
 * What was dropped. Entries can be had in the event alone, before anything is awaited.
 * @param {DataTransfer} transfer
 * @returns {Promise<Chosen[]>}
 */
export async function fromDrop(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const taken = items.map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  /** @type {Chosen[]} */
  const found = [];
  for (const { entry, file } of taken) {
    if (entry?.isDirectory) await walk(/** @type {any} */ (entry), "", found);
    else if (file) found.push({ file, path: file.name, inFolder: false });
  }
  return found;
}

/**
 * @param {FileSystemDirectoryEntry} folder
 * @param {string} above
 * @param {Chosen[]} found
 */
async function walk(folder, above, found) {
  const path = `${above}${folder.name}/`;
  for (const entry of await inside(folder)) {
    if (entry.isDirectory) await walk(/** @type {any} */ (entry), path, found);
    else found.push({ file: await opened(entry), path: path + entry.name, inFolder: true });
  }
}

/**
 * A reader gives up to a hundred at a time, and none once there are no more.
 * @param {FileSystemDirectoryEntry} folder
 * @returns {Promise<FileSystemEntry[]>}
 */
async function inside(folder) {
  const reader = folder.createReader();
  const entries = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    entries.push(...some);
  }
  return entries.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * @param {any} entry
 * @returns {Promise<File>}
 */
function opened(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}
