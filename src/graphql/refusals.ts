// The refusals as GraphQL types: one interface, and a type for each kind of fact a client acts on.
import { Field, ID, Int, InterfaceType, ObjectType, registerEnumType } from 'type-graphql';

export enum RefusalCode {
  INVALID_INPUT = 'INVALID_INPUT',
  FORBIDDEN = 'FORBIDDEN',
  SITE_NOT_FOUND = 'SITE_NOT_FOUND',
  CHARGER_NOT_FOUND = 'CHARGER_NOT_FOUND',
  CONNECTOR_NOT_FOUND = 'CONNECTOR_NOT_FOUND',
  RESERVATION_NOT_FOUND = 'RESERVATION_NOT_FOUND',
  ID_TAG_NOT_FOUND = 'ID_TAG_NOT_FOUND',
  ID_TAG_INVALID = 'ID_TAG_INVALID',
  ID_TAG_BLOCKED = 'ID_TAG_BLOCKED',
  ID_TAG_EXPIRED = 'ID_TAG_EXPIRED',
  ID_TAG_TOO_LONG = 'ID_TAG_TOO_LONG',
  NOT_YOUR_ID_TAG = 'NOT_YOUR_ID_TAG',
  POLICY = 'POLICY',
  RESERVED = 'RESERVED',
  CONNECTOR_NOT_FREE = 'CONNECTOR_NOT_FREE',
  NO_CONNECTOR_FREE = 'NO_CONNECTOR_FREE',
  CHARGER_OFFLINE = 'CHARGER_OFFLINE',
  CHARGER_REFUSED = 'CHARGER_REFUSED',
  NOT_SUPPORTED = 'NOT_SUPPORTED',
  CONNECTOR_ZERO_NOT_SUPPORTED = 'CONNECTOR_ZERO_NOT_SUPPORTED',
  RESERVATION_ID_IN_USE = 'RESERVATION_ID_IN_USE',
  IDEMPOTENCY_KEY_REUSED = 'IDEMPOTENCY_KEY_REUSED',
  ALREADY_ENDED = 'ALREADY_ENDED',
  ALREADY_USED = 'ALREADY_USED',
  NOT_SETTLED = 'NOT_SETTLED',
  IN_USE = 'IN_USE',
  API_KEY_NOT_FOUND = 'API_KEY_NOT_FOUND',
  WEBHOOK_NOT_FOUND = 'WEBHOOK_NOT_FOUND',
  WEBHOOKS_OFF = 'WEBHOOKS_OFF',
  CERTIFICATE_NOT_FOUND = 'CERTIFICATE_NOT_FOUND',
}
registerEnumType(RefusalCode, {
  name: 'RefusalCode',
  description: 'Why something was refused. More codes may come.',
  valuesConfig: {
    INVALID_INPUT: { description: 'A field of the input is wrong: see `field`.' },
    FORBIDDEN: { description: 'The role of the caller does not allow it.' },
    SITE_NOT_FOUND: { description: 'There is no such site, or it is not yours to see.' },
    CHARGER_NOT_FOUND: { description: 'There is no such charger, or it is not yours to see.' },
    CONNECTOR_NOT_FOUND: { description: 'The charger has no connector of that number.' },
    RESERVATION_NOT_FOUND: { description: 'There is no such reservation, or it is not yours to see.' },
    ID_TAG_NOT_FOUND: { description: 'There is no such idTag to remove.' },
    ID_TAG_INVALID: { description: 'The idTag is not known here.' },
    ID_TAG_BLOCKED: { description: 'The idTag is blocked.' },
    ID_TAG_EXPIRED: { description: 'The idTag has expired.' },
    ID_TAG_TOO_LONG: { description: 'The idTag or parentIdTag is longer than the OCPP version of the charger allows.' },
    NOT_YOUR_ID_TAG: { description: 'A driver acts only with the idTags, and for the groups, of its token.' },
    POLICY: { description: 'The policy of the site forbids it: see `reasons`.' },
    RESERVED: { description: 'It is held for somebody else: see `reservedUntil`.' },
    CONNECTOR_NOT_FREE: { description: 'The connector is in use or out of order: see `state`.' },
    NO_CONNECTOR_FREE: { description: 'No connector of the site that fits is free for the whole window.' },
    CHARGER_OFFLINE: { description: 'The charger is not connected.' },
    CHARGER_REFUSED: { description: 'The charger said no, or failed: see `answer`.' },
    NOT_SUPPORTED: { description: 'The charger, or this server, cannot do it.' },
    CONNECTOR_ZERO_NOT_SUPPORTED: { description: 'The charger cannot choose the connector itself: name one.' },
    RESERVATION_ID_IN_USE: { description: 'A live reservation of the charger has that reservationId.' },
    IDEMPOTENCY_KEY_REUSED: { description: 'The idempotencyKey belongs to another request.' },
    ALREADY_ENDED: { description: 'The reservation has ended: see `reservation` for how and when.' },
    ALREADY_USED: { description: 'The reservation was used; the session is not touched.' },
    NOT_SETTLED: { description: 'The charger is being asked about the reservation: try again in a moment.' },
    API_KEY_NOT_FOUND: { description: 'There is no such API key.' },
    WEBHOOK_NOT_FOUND: { description: 'There is no such webhook, or it is not yours to see.' },
    WEBHOOKS_OFF: { description: 'This server has no key for the secrets of webhooks.' },
    CERTIFICATE_NOT_FOUND: { description: 'The charger has no such certificate.' },
    IN_USE: { description: 'Something depends on it: see `message`.' },
  },
});

@InterfaceType({ description: 'Why something was not done, and that nothing was changed unless the type says so.' })
export abstract class Refusal {
  @Field(() => RefusalCode, { description: 'For programs.' })
  code!: RefusalCode;

  @Field(() => String, { description: 'For people: what is wrong and what to do, in English.' })
  message!: string;
}

@ObjectType({ implements: Refusal, description: 'A field of the input is wrong.' })
export class InvalidInput extends Refusal {
  @Field(() => String, { description: 'Name of the input field.' })
  field!: string;
}

@ObjectType({ implements: Refusal, description: 'There is no such thing, or it is not yours to see.' })
export class NotFound extends Refusal {}

@ObjectType({ implements: Refusal, description: 'The role of the caller does not allow it.' })
export class NotAllowed extends Refusal {}

@ObjectType({ implements: Refusal, description: 'Something else depends on it.' })
export class InUse extends Refusal {}

@ObjectType({ implements: Refusal, description: 'The idTag may not reserve.' })
export class IdTagRefused extends Refusal {
  @Field(() => String, { nullable: true, description: 'The idTag, or the group, as it was given.' })
  idTag!: string;
}

@ObjectType({ implements: Refusal, description: 'The connector, or every connector of the charger, is held.' })
export class ConnectorTaken extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector asked for; 0: any of the charger.' })
  connectorId!: number;

  @Field(() => Date, {
    description: 'When the hold, or the booking, begins; of several, the one that is first to end.',
  })
  reservedFrom!: Date;

  @Field(() => Date, { description: 'When it ends at the latest.' })
  reservedUntil!: Date;

  @Field(() => Boolean, { description: 'Whether the same request with `preempt` would take its place.' })
  mayPreempt!: boolean;
}

@ObjectType({ implements: Refusal, description: 'No connector of the site that fits is free for the whole window.' })
export class NoConnectorFree extends Refusal {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;
}

@ObjectType({ implements: Refusal, description: 'The charger cannot do what was asked.' })
export class ReservationNotSupported extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;
}

@ObjectType({ implements: Refusal, description: 'A live reservation of the charger has the reservationId.' })
export class ReservationIdInUse extends Refusal {
  @Field(() => Int, { description: 'The reservationId as it was given.' })
  reservationId!: number;
}

@ObjectType({ implements: Refusal, description: 'The idempotencyKey belongs to another request of the same caller.' })
export class IdempotencyKeyReused extends Refusal {
  @Field(() => String, { description: 'The key as it was given.' })
  idempotencyKey!: string;
}

const typeNames: Record<keyof typeof RefusalCode, string> = {
  INVALID_INPUT: 'InvalidInput',
  FORBIDDEN: 'NotAllowed',
  SITE_NOT_FOUND: 'NotFound',
  CHARGER_NOT_FOUND: 'NotFound',
  CONNECTOR_NOT_FOUND: 'NotFound',
  RESERVATION_NOT_FOUND: 'NotFound',
  ID_TAG_NOT_FOUND: 'NotFound',
  ID_TAG_INVALID: 'IdTagRefused',
  ID_TAG_BLOCKED: 'IdTagRefused',
  ID_TAG_EXPIRED: 'IdTagRefused',
  ID_TAG_TOO_LONG: 'IdTagRefused',
  NOT_YOUR_ID_TAG: 'IdTagRefused',
  POLICY: 'PolicyRefused',
  RESERVED: 'ConnectorTaken',
  CONNECTOR_NOT_FREE: 'ConnectorNotFree',
  NO_CONNECTOR_FREE: 'NoConnectorFree',
  CHARGER_OFFLINE: 'ChargerOffline',
  CHARGER_REFUSED: 'ChargerRefused',
  NOT_SUPPORTED: 'ReservationNotSupported',
  CONNECTOR_ZERO_NOT_SUPPORTED: 'ReservationNotSupported',
  RESERVATION_ID_IN_USE: 'ReservationIdInUse',
  IDEMPOTENCY_KEY_REUSED: 'IdempotencyKeyReused',
  ALREADY_ENDED: 'ReservationEnded',
  ALREADY_USED: 'ReservationEnded',
  NOT_SETTLED: 'ReservationNotSettled',
  IN_USE: 'InUse',
  API_KEY_NOT_FOUND: 'NotFound',
  WEBHOOK_NOT_FOUND: 'NotFound',
  WEBHOOKS_OFF: 'WebhooksOff',
  CERTIFICATE_NOT_FOUND: 'NotFound',
};

/** Name of the GraphQL type of a refusal, or of the success it stands beside. */
export const resultType =
  (success: string) =>
  (value: object): string =>
    'code' in value ? (typeNames[value.code as keyof typeof RefusalCode] ?? success) : success;
