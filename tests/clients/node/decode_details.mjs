// Decodes recorded `grpc-status-details-bin` values as the Node example does.
//
// The twin of ../python/decode_details.py: lines `reason<TAB>code<TAB>base64`
// on standard input, each a google.rpc.Status of that code and reason.
import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';

import { decodeStatus } from '../../../examples/node/status_details.mjs';

const DOMAIN = 'gateway.qiwi.internal';

function check(reason, code, encoded) {
  const bytes = Buffer.from(encoded, 'base64');
  // Buffer.from skips what is not base64; the way back shows whether it did.
  assert.equal(bytes.toString('base64').replace(/=+$/, ''), encoded.replace(/=+$/, ''), 'not base64');
  const status = decodeStatus(bytes);
  assert.equal(status.code, Number(code), 'code');
  assert.ok(status.message, 'no message');
  assert.equal(status.details.ErrorInfo?.reason, reason, 'reason');
  assert.equal(status.details.ErrorInfo.domain, DOMAIN, 'domain');
  assert.ok(status.details.RequestInfo?.request_id, 'no request id');
  if (status.details.RetryInfo) {
    const { seconds, nanos } = status.details.RetryInfo.retry_delay;
    assert.ok(Number(seconds) > 0 || nanos > 0, 'RetryInfo without a delay');
  }
}

let count = 0;
let failed = 0;
for await (const line of createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  count += 1;
  const [reason, code, encoded] = line.split('\t');
  try {
    check(reason, code, encoded);
  } catch (error) {
    failed += 1;
    console.log(`line ${count}: ${reason}: ${error.message}`);
  }
}
console.log(`${count} values decoded by Node, ${failed} failed`);
process.exitCode = failed || !count ? 1 : 0;
