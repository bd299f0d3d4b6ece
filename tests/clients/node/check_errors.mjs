// Provokes errors and decodes their details as the Node example does.
//
// Order matters at the end: a refused token and a cool-down outlive their fault.
import assert from 'node:assert/strict';

import { client, codeName } from '../../../examples/node/gateway.mjs';
import { statusDetails } from '../../../examples/node/status_details.mjs';

const DEMO = { 'x-qiwi-credential': 'demo' };
const DAY = 24 * 60 * 60;
const services = {
  ListBalances: ['balance', 'BalanceService'],
  ListTransactions: ['history', 'HistoryService'],
  GetTransaction: ['history', 'HistoryService'],
  GetProfile: ['profile', 'ProfileService'],
};

async function sandbox(method, path, body) {
  const answer = await fetch(`http://${process.env.SANDBOX}/__sandbox/${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
}

/** Within `body`, every request below the path meets the given fault. */
async function withFault(path_prefix, fault, body) {
  await sandbox('POST', 'faults', [{ match: { path_prefix }, fault }]);
  try {
    return await body();
  } finally {
    await sandbox('DELETE', 'faults');
  }
}

/** Calls, demands this refusal, and returns its details by type name, the error and the time it took. */
async function refused(method, request, code, reason, { metadata = DEMO, ms = 5000 } = {}) {
  const requestId = `check-${reason.toLowerCase()}`;
  // Each call once: what the library repeats opens the breaker.
  const once = { 'grpc.enable_retries': 0 };
  const sent = { ...metadata, 'x-request-id': requestId };
  const service = client(...services[method], sent, 'wallet', once);
  let error;
  await service.ready();
  const started = performance.now();
  try {
    await service.call(method, request, ms);
  } catch (raised) {
    error = raised;
  } finally {
    service.close();
  }
  const taken = performance.now() - started;
  assert.ok(error, `answered instead of ${reason}`);
  assert.equal(codeName(error.code), code, error.message);
  const status = statusDetails(error);
  assert.ok(status, `${code} without details: ${error.message}`);
  const { details } = status;
  assert.equal(details.ErrorInfo?.reason, reason);
  assert.equal(details.ErrorInfo.domain, 'gateway.qiwi.internal');
  assert.equal(details.RequestInfo?.request_id, requestId);
  return { details, error, taken };
}

/** A history request over the last `days` days. */
function listing(days, fields = {}) {
  const now = Math.floor(Date.now() / 1000);
  return { start_time: { seconds: now - days * DAY }, end_time: { seconds: now }, ...fields };
}

const checks = {
  'no credential': () =>
    refused('ListBalances', {}, 'UNAUTHENTICATED', 'CREDENTIAL_MISSING', { metadata: {} }),

  'unknown credential': () =>
    refused('ListBalances', {}, 'UNAUTHENTICATED', 'CREDENTIAL_UNKNOWN', {
      metadata: { 'x-qiwi-credential': 'nobody' },
    }),

  'both credentials': () =>
    refused('ListBalances', {}, 'INVALID_ARGUMENT', 'CREDENTIAL_AMBIGUOUS', {
      metadata: { ...DEMO, authorization: 'Bearer sandbox-wallet-token' },
    }),

  'bad page token': () =>
    refused(
      'ListTransactions',
      { page_token: 'bm90LWEtdG9rZW4' },
      'INVALID_ARGUMENT',
      'PAGE_TOKEN_INVALID',
    ),

  'range too wide': () =>
    refused('ListTransactions', listing(200), 'INVALID_ARGUMENT', 'RANGE_TOO_WIDE'),

  'negative page size': async () => {
    const { details } = await refused(
      'ListTransactions',
      { page_size: -1 },
      'INVALID_ARGUMENT',
      'REQUEST_INVALID',
    );
    const fields = details.BadRequest.field_violations.map(({ field }) => field);
    assert.deepEqual(fields, ['page_size']);
  },

  'unknown transaction': async () => {
    const { details } = await refused(
      'GetTransaction',
      { transaction_id: '1' },
      'NOT_FOUND',
      'TRANSACTION_NOT_FOUND',
    );
    assert.ok(details.ResourceInfo.resource_type);
  },

  'deadline before a slow upstream': () =>
    withFault('/payment-history/', { latency_ms: 5000 }, async () => {
      const { taken } = await refused(
        'ListTransactions',
        listing(7),
        'DEADLINE_EXCEEDED',
        'DEADLINE_EXCEEDED',
        { ms: 200 },
      );
      assert.ok(taken < 250, `${taken.toFixed(0)} ms for a deadline of 200 ms`);
    }),

  'failing upstream': () =>
    withFault('/payment-history/', { status: 503 }, async () => {
      const { details, error } = await refused(
        'ListTransactions',
        listing(7),
        'UNAVAILABLE',
        'UPSTREAM_ERROR',
      );
      const { seconds, nanos } = details.RetryInfo.retry_delay;
      assert.ok(Number(seconds) > 0 || nanos > 0);
      assert.equal(details.ErrorInfo.metadata.httpStatus, '503');
      assert.ok(Number(details.ErrorInfo.metadata.attempts) > 1);
      assert.equal(error.metadata.get('grpc-retry-pushback-ms').length, 1);
    }),

  'rate limited upstream': () =>
    withFault('/funding-sources/', { status: 429, retry_after: 7 }, async () => {
      const { details } = await refused(
        'ListBalances',
        {},
        'RESOURCE_EXHAUSTED',
        'RATE_LIMITED_UPSTREAM',
      );
      assert.ok(Number(details.RetryInfo.retry_delay.seconds) >= 6);
      assert.ok(details.QuotaFailure.violations.length > 0);
    }),

  'rejected token': () =>
    withFault('/person-profile/', { status: 401 }, () =>
      refused('GetProfile', {}, 'UNAUTHENTICATED', 'TOKEN_REJECTED')),
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
  } catch (error) {
    failed += 1;
    console.log(`${name}: ${error.message}`);
  }
}
const count = Object.keys(checks).length;
console.log(failed ? `${failed} of ${count} checks failed` : `${count} checks passed`);
process.exitCode = failed ? 1 : 0;
