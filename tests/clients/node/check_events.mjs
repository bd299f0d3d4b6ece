// A subscriber is killed again and again, and has every event exactly once all the same.
//
// The events are those of payments the sandbox receives meanwhile, also while no subscriber runs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROUNDS = 5;
const PAYMENTS = 6;
// What this waits for takes a second or two; a busy machine takes its time.
const PATIENCE = 20000;

const folder = mkdtempSync(join(tmpdir(), 'qiwi-gateway-follower-'));
const file = join(folder, 'kept.json');
const program = fileURLToPath(new URL('follower.mjs', import.meta.url));
const kept = () => (existsSync(file) ? JSON.parse(readFileSync(file)) : { events: [] });

async function until(what, holds) {
  const deadline = Date.now() + PATIENCE;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `${what}: not within ${PATIENCE} ms`);
    await sleep(30);
  }
}

async function pay() {
  const answer = await fetch(`http://${process.env.SANDBOX}/__sandbox/incoming`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ amount: '1.00', account: '79995550000', comment: null }),
    signal: AbortSignal.timeout(5000),
  });
  assert.ok(answer.ok, `incoming: ${answer.status}`);
  return String((await answer.json()).txnId);
}

const start = () => spawn(process.execPath, [program, file], { stdio: ['ignore', 'ignore', 'inherit'] });

/** SIGKILL: nothing of the subscriber runs afterwards. */
async function kill(child) {
  assert.equal(child.exitCode, null, 'the subscriber ended by itself');
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

let checks = 0;
let child = start();
try {
  await until('a first cursor', () => kept().cursor);
  const paid = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let payment = 0; payment < PAYMENTS; payment += 1) {
      paid.push(await pay());
      await sleep(Math.random() * 120);
    }
    if (round % 2) await until('an event of this round', () => kept().events.length > paid.length - 3);
    await kill(child);
    // And while nobody listens.
    paid.push(await pay());
    child = start();
    checks += 1;
  }
  await until('all of them', () => kept().events.length >= paid.length);
  // One more: whatever comes too often would have come before it.
  paid.push(await pay());
  await until('the last one', () => kept().events.length >= paid.length);
  const { events } = kept();
  assert.deepEqual(new Set(events.map((event) => event.transaction)), new Set(paid));
  assert.equal(events.length, paid.length, 'an event came twice');
  assert.equal(new Set(events.map((event) => event.event_id)).size, events.length);
  const sequences = events.map((event) => BigInt(event.sequence));
  assert.ok(sequences.every((at, index) => index === 0 || at > sequences[index - 1]), 'out of order');
  checks += 4;
  console.log(`${checks} checks passed`);
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
} finally {
  if (child.exitCode === null) await kill(child);
  rmSync(folder, { recursive: true });
}
