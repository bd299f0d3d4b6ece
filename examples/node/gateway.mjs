// How the examples reach the gateway: its protos, its address, plain promises.
//
// The environment says where it is. GATEWAY is the address, 127.0.0.1:50051 without it; a
// name is resolved to all of its addresses, and calls go round them. With GATEWAY_CA, a PEM
// file of authorities, the channel uses TLS; with GATEWAY_CERT and GATEWAY_KEY it shows a
// certificate of its own. GATEWAY_CALLER_KEY says who calls, where callers are configured.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const { GATEWAY, GATEWAY_CA, GATEWAY_CERT, GATEWAY_KEY, GATEWAY_CALLER_KEY } = process.env;
const address = GATEWAY || '127.0.0.1:50051';
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const protos = here('../../proto');

const file = (path) => (path ? readFileSync(path) : null);
const security = GATEWAY_CA
  ? grpc.credentials.createSsl(file(GATEWAY_CA), file(GATEWAY_KEY), file(GATEWAY_CERT))
  : grpc.credentials.createInsecure();

const channel = {
  // Which methods the library may repeat by itself: reads, and none that pays.
  'grpc.service_config': readFileSync(here('../../docs/service-config.json'), 'utf8'),
  // A dead connection is found out also while nothing is called.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.keepalive_permit_without_calls': 1,
};

const load = {
  includeDirs: [protos],
  // Without it proto-loader renames fields to camelCase and silently drops
  // what a program sends in snake_case.
  keepCase: true,
  // int64 as text: a JavaScript number is exact up to 2^53 only.
  longs: String,
  enums: String,
  bytes: Buffer,
  defaults: true,
  oneofs: true,
};

/**
 * A client of one service: `client('history', 'HistoryService')`, and for those that
 * are not of a wallet `client('stream', 'EventService', credential, 'events')`. Unary
 * methods return promises, `stream(...)` returns the stream of a streaming one, which
 * has no end by itself when it gets `Infinity` milliseconds. `more` are channel options.
 */
export function client(
  area,
  service,
  credential = { 'x-qiwi-credential': 'demo' },
  product = 'wallet',
  more = {},
) {
  const definition = protoLoader.loadSync(`qiwi/${product}/v1/${area}.proto`, load);
  const Service = grpc.loadPackageDefinition(definition).qiwi[product].v1[service];
  const raw = new Service(address, security, { ...channel, ...more });

  const metadata = () => {
    const sent = new grpc.Metadata();
    for (const [key, value] of Object.entries(credential)) sent.set(key, value);
    if (GATEWAY_CALLER_KEY) sent.set('x-qiwi-caller-key', GATEWAY_CALLER_KEY);
    return sent;
  };
  // A call without a deadline may wait for ever; every call here has one.
  const options = (ms) => ({ deadline: Date.now() + ms });

  return {
    call: (method, request = {}, ms = 5000) =>
      promisify(raw[method].bind(raw))(request, metadata(), options(ms)),
    stream: (method, request = {}, ms = 30000) => raw[method](request, metadata(), options(ms)),
    /** Connects ahead of the first call, which would otherwise do it on its own time. */
    ready: (ms = 5000) => promisify(raw.waitForReady.bind(raw))(Date.now() + ms),
    close: () => raw.close(),
  };
}

/** The name of a gRPC status code, `NOT_FOUND` for 5. */
export const codeName = (code) => grpc.status[code] ?? String(code);
