// What people have taught, kept in this browser's own database (IndexedDB): sounds, their examples, and finished models.

const NAME = "ainext-teach";
const VERSION = 1;
const STORES = ["sounds", "examples", "models"];

export class Store {
  #database;

  /** Opens the database. A browser that keeps nothing, such as in some private windows, gives a store in memory. */
  static async open() {
    const store = new Store();
    store.#database = await openDatabase().catch(() => null);
    return store;
  }

  /** Whether what is put into it is there after the page is loaded again. */
  get lasts() {
    return this.#database !== null;
  }

  /** All objects of "sounds", "examples" or "models", in the order of their keys. */
  async all(kind) {
    if (!this.lasts) return [];
    return this.#request(kind, "readonly", (objects) => objects.getAll());
  }

  /**
   * Adds an object, or replaces the one with its `id`.
   *
   * @throws {Error} one line, if the browser's disk space for this page is used up
   */
  async put(kind, object) {
    if (this.lasts) await this.#request(kind, "readwrite", (objects) => objects.put(object));
  }

  async delete(kind, id) {
    if (this.lasts) await this.#request(kind, "readwrite", (objects) => objects.delete(id));
  }

  #request(kind, mode, start) {
    return new Promise((resolve, reject) => {
      const transaction = this.#database.transaction(kind, mode);
      const request = start(transaction.objectStore(kind));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => {
        const full = transaction.error?.name === "QuotaExceededError";
        const reason = full ? "the disk space that it has for this page is used up" : (transaction.error?.message ?? "unknown");
        reject(new Error(`This browser could not keep it (${reason}): it is lost when the page is closed.`));
      };
    });
  }
}

/** A new key. Later keys are greater, so that objects keep their order. */
export function newId() {
  const time = Date.now().toString(36).padStart(9, "0");
  count = (count + 1) % 36 ** 4;
  return `${time}-${count.toString(36).padStart(4, "0")}-${Math.random().toString(36).slice(2, 8)}`;
}

let count = 0; // of keys, which may be made within a millisecond

function openDatabase() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => {
      for (const name of STORES) request.result.createObjectStore(name, { keyPath: "id" });
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
}
