// A refusal is an answer, not a fault: a use case returns it as a value, with the facts that the caller acts on.
// One table names every code, the GraphQL type and the HTTP status it is answered with, and its description.

export const refusals = {
  INVALID_INPUT: { type: 'InvalidInput', status: 400, description: 'A field of the input is wrong: see `field`.' },
  FORBIDDEN: { type: 'NotAllowed', status: 403, description: 'The role of the caller does not allow it.' },
  SITE_NOT_FOUND: {
    type: 'NotFound',
    status: 404,
    description: 'There is no such site, or it is not yours to see.',
  },
  CHARGER_NOT_FOUND: {
    type: 'NotFound',
    status: 404,
    description: 'There is no such charger, or it is not yours to see.',
  },
  CONNECTOR_NOT_FOUND: {
    type: 'NotFound',
    status: 404,
    description: 'The charger has no connector of that number.',
  },
  RESERVATION_NOT_FOUND: {
    type: 'NotFound',
    status: 404,
    description: 'There is no such reservation, or it is not yours to see.',
  },
  ID_TAG_NOT_FOUND: { type: 'NotFound', status: 404, description: 'There is no such idTag to remove.' },
  ID_TAG_INVALID: { type: 'IdTagRefused', status: 422, description: 'The idTag is not known here.' },
  ID_TAG_BLOCKED: { type: 'IdTagRefused', status: 422, description: 'The idTag is blocked.' },
  ID_TAG_EXPIRED: { type: 'IdTagRefused', status: 422, description: 'The idTag has expired.' },
  ID_TAG_TOO_LONG: {
    type: 'IdTagRefused',
    status: 422,
    description: 'The idTag or parentIdTag is longer than the OCPP version of the charger allows.',
  },
  NOT_YOUR_ID_TAG: {
    type: 'IdTagRefused',
    status: 403,
    description: 'A driver acts only with the idTags, and for the groups, of its token.',
  },
  POLICY: { type: 'PolicyRefused', status: 422, description: 'The policy of the site forbids it: see `reasons`.' },
  RESERVED: {
    type: 'ConnectorTaken',
    status: 409,
    description: 'The connector is held for somebody else: see `reservedUntil`.',
  },
  CONNECTOR_NOT_FREE: {
    type: 'ConnectorNotFree',
    status: 409,
    description: 'The connector is in use or out of order: see `state`.',
  },
  NO_CONNECTOR_FREE: {
    type: 'NoConnectorFree',
    status: 409,
    description: 'No connector of the site that fits is free for the whole window.',
  },
  CHARGER_OFFLINE: { type: 'ChargerOffline', status: 503, description: 'The charger is not connected.' },
  CHARGER_REFUSED: {
    type: 'ChargerRefused',
    status: 502,
    description: 'The charger refused, or failed: see `answer`.',
  },
  NOT_SUPPORTED: {
    type: 'ReservationNotSupported',
    status: 422,
    description: 'The charger, or this server, cannot do it.',
  },
  CONNECTOR_ZERO_NOT_SUPPORTED: {
    type: 'ReservationNotSupported',
    status: 422,
    description: 'The charger cannot choose the connector itself: name one.',
  },
  RESERVATION_ID_IN_USE: {
    type: 'ReservationIdInUse',
    status: 409,
    description: 'A live reservation of the charger has that reservationId.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    type: 'IdempotencyKeyReused',
    status: 422,
    description: 'The idempotencyKey belongs to another request.',
  },
  ALREADY_ENDED: {
    type: 'ReservationEnded',
    status: 409,
    description: 'The reservation has ended: see `reservation` for how and when.',
  },
  ALREADY_USED: {
    type: 'ReservationEnded',
    status: 409,
    description: 'The reservation was used; its transaction is not affected.',
  },
  NOT_SETTLED: {
    type: 'ReservationNotSettled',
    status: 409,
    description: 'The charger is being asked about the reservation: try again in a moment.',
  },
  IN_USE: { type: 'InUse', status: 409, description: 'Something depends on it: see `message`.' },
  API_KEY_NOT_FOUND: { type: 'NotFound', status: 404, description: 'There is no such API key.' },
  WEBHOOK_NOT_FOUND: {
    type: 'NotFound',
    status: 404,
    description: 'There is no such webhook, or it is not yours to see.',
  },
  WEBHOOKS_OFF: {
    type: 'WebhooksOff',
    status: 422,
    description: 'Webhooks are off: this server has no key for their secrets.',
  },
  CERTIFICATE_NOT_FOUND: { type: 'NotFound', status: 404, description: 'The charger has no such certificate.' },
} as const satisfies Record<string, RefusalKind>;

interface RefusalKind {
  /** Name of the GraphQL type. */
  readonly type: string;
  /** HTTP status where REST answers with it. */
  readonly status: number;
  readonly description: string;
}

export type RefusalCode = keyof typeof refusals;

export interface Refusal {
  readonly code: RefusalCode;
  /** For people, in English: what is wrong and what to do. */
  readonly message: string;
}

export const isRefusal = (value: object | string): value is Refusal =>
  typeof value === 'object' && 'code' in value && 'message' in value;
