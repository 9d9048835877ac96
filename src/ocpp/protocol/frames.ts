// OCPP-J frames: parses Call, CallResult, CallError and, in 2.1, CallResultError and Send; writes the first three. It
// must not know payloads.
import type { OcppVersion } from '../../model/charger/charger.ts';

export type MessageId = string | number;

export type Frame =
  | { readonly type: 'call'; readonly id: MessageId; readonly action: string; readonly payload: object }
  | { readonly type: 'result'; readonly id: MessageId; readonly payload: object }
  | { readonly type: 'error'; readonly id: MessageId; readonly code: string; readonly description: string }
  /** 2.1: the charger could not read our CallResult. */
  | { readonly type: 'result-error'; readonly id: MessageId; readonly code: string; readonly description: string }
  /** 2.1: a message that gets no answer. */
  | { readonly type: 'send'; readonly id: MessageId; readonly action: string; readonly payload: object };

/** A frame that cannot be read. `code` is the error to answer with; absent: the frame gets no answer. */
export interface BadFrame {
  readonly type: 'bad';
  readonly id: MessageId;
  readonly code?: ErrorCode;
  readonly description: string;
}

/** Error codes by their 2.x names. 1.6 spells two of them differently and lacks two: see `spelledIn16`. */
export type ErrorCode =
  | 'FormatViolation'
  | 'OccurrenceConstraintViolation'
  | 'PropertyConstraintViolation'
  | 'TypeConstraintViolation'
  | 'NotImplemented'
  | 'InternalError'
  | 'GenericError'
  | 'ProtocolError'
  | 'MessageTypeNotSupported'
  | 'RpcFrameworkError';

const spelledIn16: Partial<Record<ErrorCode, string>> = {
  FormatViolation: 'FormationViolation',
  OccurrenceConstraintViolation: 'OccurenceConstraintViolation',
  MessageTypeNotSupported: 'ProtocolError',
  RpcFrameworkError: 'GenericError',
};

const CALL = 2;
const RESULT = 3;
const ERROR = 4;
const RESULT_ERROR = 5;
const SEND = 6;
/** Message id of the error for a frame whose own id cannot be read. */
const NO_ID = '-1';

export function parseFrame(text: string, version: OcppVersion): Frame | BadFrame {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return bad(NO_ID, 'RpcFrameworkError', 'The frame is not JSON');
  }
  if (!Array.isArray(frame)) return bad(NO_ID, 'RpcFrameworkError', 'The frame is not an array');
  const [type, id] = frame as unknown[];
  if (typeof id !== 'string' && typeof id !== 'number') {
    return bad(NO_ID, 'RpcFrameworkError', 'The message id is not a string');
  }
  switch (type) {
    case CALL:
      return parseCall('call', id, frame);
    case RESULT:
      return isObject(frame[2])
        ? { type: 'result', id, payload: frame[2] }
        : bad(id, undefined, 'The result is not an object');
    case ERROR:
      return { type: 'error', id, ...toError(frame) };
    case RESULT_ERROR:
    case SEND:
      if (version !== '2.1') break;
      return type === SEND ? parseCall('send', id, frame) : { type: 'result-error', id, ...toError(frame) };
  }
  // 1.6: a frame of an unknown type is ignored.
  return bad(
    id,
    version === '1.6' ? undefined : 'MessageTypeNotSupported',
    `Message type ${textOf(type)} is not known`,
  );
}

function parseCall(type: 'call' | 'send', id: MessageId, frame: unknown[]): Frame | BadFrame {
  const [, , action, payload] = frame;
  const code = type === 'call' ? 'FormatViolation' : undefined;
  if (frame.length !== 4 || typeof action !== 'string') return bad(id, code, 'A Call is [2, id, action, payload]');
  return isObject(payload) ? { type, id, action, payload } : bad(id, code, 'The payload is not an object');
}

const MAX_TEXT = 255;
const toError = ([, , code, description]: unknown[]) => ({
  code: textOf(code),
  description: textOf(description ?? ''),
});

/** A value that is neither text nor a number is only named by its kind: deep nesting would overflow a serializer. */
const textOf = (value: unknown): string =>
  (typeof value === 'string' || typeof value === 'number' ? `${value}` : `(${kindOf(value)})`).slice(0, MAX_TEXT);

const kindOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

const isObject = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const bad = (id: MessageId, code: ErrorCode | undefined, description: string): BadFrame => ({
  type: 'bad',
  id,
  description,
  ...(code && { code }),
});

export const callFrame = (id: string, action: string, payload: object): string =>
  JSON.stringify([CALL, id, action, payload]);
export const resultFrame = (id: MessageId, payload: object): string => JSON.stringify([RESULT, id, payload]);
export const errorFrame = (id: MessageId, code: ErrorCode, description: string, version: OcppVersion): string =>
  JSON.stringify([ERROR, id, (version === '1.6' && spelledIn16[code]) || code, description.slice(0, MAX_TEXT), {}]);
