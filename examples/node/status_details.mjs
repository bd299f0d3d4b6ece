// Reads the details of a failed call.
//
// grpc-js hands over the trailer `grpc-status-details-bin` as bytes and leaves
// it at that. Here are the messages of google.rpc that the gateway sends, by
// field name and number, and one function that decodes them.
import protobuf from 'protobufjs';

const text = (id) => ({ type: 'string', id });
const many = (type, id) => ({ rule: 'repeated', type, id });

const root = protobuf.Root.fromJSON({
  nested: {
    google: {
      nested: {
        protobuf: {
          nested: {
            Any: { fields: { type_url: text(1), value: { type: 'bytes', id: 2 } } },
            Duration: {
              fields: { seconds: { type: 'int64', id: 1 }, nanos: { type: 'int32', id: 2 } },
            },
          },
        },
        rpc: {
          nested: {
            Status: {
              fields: {
                code: { type: 'int32', id: 1 },
                message: text(2),
                details: many('google.protobuf.Any', 3),
              },
            },
            ErrorInfo: {
              fields: {
                reason: text(1),
                domain: text(2),
                metadata: { keyType: 'string', type: 'string', id: 3 },
              },
            },
            RetryInfo: { fields: { retry_delay: { type: 'google.protobuf.Duration', id: 1 } } },
            QuotaFailure: {
              fields: { violations: many('Violation', 1) },
              nested: { Violation: { fields: { subject: text(1), description: text(2) } } },
            },
            PreconditionFailure: {
              fields: { violations: many('Violation', 1) },
              nested: {
                Violation: { fields: { type: text(1), subject: text(2), description: text(3) } },
              },
            },
            BadRequest: {
              fields: { field_violations: many('FieldViolation', 1) },
              nested: { FieldViolation: { fields: { field: text(1), description: text(2) } } },
            },
            RequestInfo: { fields: { request_id: text(1), serving_data: text(2) } },
            ResourceInfo: {
              fields: {
                resource_type: text(1),
                resource_name: text(2),
                owner: text(3),
                description: text(4),
              },
            },
            Help: {
              fields: { links: many('Link', 1) },
              nested: { Link: { fields: { description: text(1), url: text(2) } } },
            },
            LocalizedMessage: { fields: { locale: text(1), message: text(2) } },
          },
        },
      },
    },
  },
}, new protobuf.Root());

// protobufjs renames fields to camelCase only when it parses .proto text, so the
// names above stay as google.rpc writes them.
const shown = { longs: String, defaults: true, arrays: true, objects: true };

/** Decodes the bytes of a `google.rpc.Status`: `{ code, message, details }`, details by type name. */
export function decodeStatus(bytes) {
  const status = root.lookupType('google.rpc.Status').decode(bytes);
  const details = {};
  for (const packed of status.details) {
    const name = packed.type_url.split('/').pop();
    const type = root.lookupType(name);
    details[name.replace('google.rpc.', '')] = type.toObject(type.decode(packed.value), shown);
  }
  return { code: status.code, message: status.message, details };
}

/** The delay in milliseconds after which an error says the same request may succeed, or null. */
export function retryDelay(error) {
  const delay = statusDetails(error)?.details.RetryInfo?.retry_delay;
  return delay ? Number(delay.seconds) * 1000 + delay.nanos / 1e6 : null;
}

/** The details of an error that grpc-js raised, or null where the server sent none. */
export function statusDetails(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  return bytes ? decodeStatus(bytes) : null;
}
