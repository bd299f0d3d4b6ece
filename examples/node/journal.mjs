// A file that only grows, one line for each response of a stream.
//
// Cursor and effect stand in the same line, so that both are on the disk or neither is. In a
// database they share a transaction.
import {
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readFileSync,
  writeSync,
} from 'node:fs';

const NEW_LINE = 10;

export class Journal {
  /** Where to go on; null in a new file. */
  cursor = null;
  #known = new Set();
  #file;
  #size;

  /**
   * Reads what is there. A line cut short by a crash is dropped: its cursor was not kept either,
   * so its events come again.
   */
  constructor(path) {
    const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    this.#size = bytes.lastIndexOf(NEW_LINE) + 1;
    for (const line of bytes.toString('utf8', 0, this.#size).split('\n')) {
      if (line) this.#note(JSON.parse(line));
    }
    this.#file = openSync(path, existsSync(path) ? 'r+' : 'w+', 0o600);
    ftruncateSync(this.#file, this.#size);
  }

  knows(eventId) {
    return this.#known.has(eventId);
  }

  /** Puts the effect of a response on the disk, together with its cursor. */
  keep(cursor, events) {
    const entry = { cursor: cursor.toString('base64'), events };
    const line = Buffer.from(`${JSON.stringify(entry)}\n`);
    for (let at = 0; at < line.length; ) {
      at += writeSync(this.#file, line, at, line.length - at, this.#size + at);
    }
    fsyncSync(this.#file);
    this.#size += line.length;
    this.#note(entry);
  }

  #note({ cursor, events }) {
    this.cursor = Buffer.from(cursor, 'base64');
    for (const { event_id } of events) this.#known.add(event_id);
  }
}
