// Orders and their ids in a folder that processes may share; a database does the same with a
// unique index.
//
// The file of an order appears whole or not at all, and only once, because it is written
// elsewhere first and then linked. QIWI wants ids that differ and increase: an id is at least
// 1000 × Unix seconds, and greater than all that were claimed before. One folder belongs to one
// wallet, and all who pay from the wallet use that folder.
import {
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** The order of that name: as it was stored before, or new and with an id. */
export function takeOrder(folder, name, wallet, amount) {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `order-${encodeURIComponent(name)}.json`);
  let found = read(file);
  if (!found) {
    keep(folder, file, { name, wallet, amount, payment_id: claimId(folder) });
    // Another process may have been quicker; then its id counts and ours stays unused.
    found = read(file);
  }
  if (found.wallet !== wallet || found.amount !== amount) {
    throw new RangeError(`${name} was ${found.amount} RUB to ${found.wallet} before; that stays`);
  }
  return found;
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw error;
  }
}

/** Does it, and tells whether there was no such file yet. */
function first(make) {
  try {
    make();
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Takes the next id: an empty file that can be made only once stands for it. */
function claimId(folder) {
  let id = 1000 * Math.floor(Date.now() / 1000);
  for (const claim of readdirSync(folder)) {
    if (claim.startsWith('id-')) id = Math.max(id, Number(claim.slice('id-'.length)) + 1);
  }
  while (!first(() => closeSync(openSync(join(folder, `id-${id}`), 'wx')))) id += 1;
  return String(id);
}

/** Puts an order on the disk, unless one of that name is there already. */
function keep(folder, file, order) {
  const draft = join(folder, `draft-${order.payment_id}`);
  const out = openSync(draft, 'wx', 0o600);
  writeSync(out, JSON.stringify(order));
  fsyncSync(out);
  closeSync(out);
  first(() => linkSync(draft, file));
  rmSync(draft);
  // The names of files are content of their folder.
  const names = openSync(folder, 'r');
  fsyncSync(names);
  closeSync(names);
}
