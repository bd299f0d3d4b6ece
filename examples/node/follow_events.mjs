// Follows the transactions of a wallet: each exactly once, whatever breaks in between.
//
//   cd examples/node && npm install
//   node follow_events.mjs FILE
//
// FILE keeps the events together with the cursor. The program may be killed at any moment:
// started again it goes on where it was, with what came meanwhile. An information token suffices.
// The environment says where the gateway is; see gateway.mjs.
import { setTimeout as sleep } from 'node:timers/promises';

import { client, codeName } from './gateway.mjs';
import { Journal } from './journal.mjs';
import { retryDelay, statusDetails } from './status_details.mjs';

// Seconds. A stream that is silent for three heartbeats is taken for dead.
const HEARTBEAT = 15;
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 30000;
// After these another stream may go on from the same place.
const AGAIN = new Set([
  'UNAVAILABLE',
  'RESOURCE_EXHAUSTED',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'UNKNOWN',
  'INTERNAL',
]);
// The log no longer holds what follows the cursor, or is another log.
const LOST_PLACE = new Set(['CURSOR_EXPIRED', 'LOG_REWOUND']);

const [path] = process.argv.slice(2);
if (!path) {
  console.error('usage: node follow_events.mjs FILE');
  process.exit(1);
}
const kept = new Journal(path);
const service = client('stream', 'EventService', { 'x-qiwi-credential': 'demo-info' }, 'events');
let start = kept.cursor ? { cursor: kept.cursor } : { anchor: 'LOG_ANCHOR_LATEST' };
let pause = FIRST_PAUSE;

function handle({ events, cursor }) {
  // A log that was filled again repeats events under the ids they had.
  const fresh = events
    .filter(({ event_id }) => !kept.knows(event_id))
    .map(({ event_id, sequence, transaction }) => {
      return { event_id, sequence, transaction_id: transaction.transaction_id };
    });
  // Heartbeats move the place as well.
  kept.keep(cursor, fresh);
  for (const { event_id, transaction_id } of fresh) console.log(event_id, transaction_id);
  start = { cursor };
  pause = FIRST_PAUSE;
}

/** Follows one stream until it ends. It has no deadline; the watch ends one that is silent. */
async function stream() {
  const request = {
    start,
    filter: { kinds: ['EVENT_KIND_TRANSACTION'] },
    heartbeat_interval: { seconds: HEARTBEAT, nanos: 0 },
  };
  const call = service.stream('Subscribe', request, Infinity);
  const watch = setTimeout(() => call.cancel(), 3000 * HEARTBEAT);
  try {
    for await (const response of call) {
      watch.refresh();
      handle(response);
    }
  } finally {
    clearTimeout(watch);
  }
}

for (;;) {
  let reason = 'the stream ended';
  let asked = 0;
  try {
    await stream();
  } catch (error) {
    // Not of the call: without the disk the place would be lost.
    if (typeof error.code !== 'number') throw error;
    reason = statusDetails(error)?.details.ErrorInfo?.reason ?? codeName(error.code);
    asked = retryDelay(error) ?? 0;
    if (LOST_PLACE.has(reason)) {
      // From the oldest event that is left; those handled before are known.
      start = { anchor: 'LOG_ANCHOR_EARLIEST' };
    } else if (!AGAIN.has(codeName(error.code))) {
      console.error(`refused: ${reason} ${error.details}`);
      process.exit(1);
    }
  }
  const wait = Math.max(asked, pause * (0.5 + Math.random() / 2));
  console.error(`${reason}: another stream in ${(wait / 1000).toFixed(1)} s`);
  await sleep(wait);
  pause = Math.min(2 * pause, LONGEST_PAUSE);
}
