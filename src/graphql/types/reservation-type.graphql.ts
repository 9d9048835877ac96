// A reservation as the API shows it.
import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';

export enum ReservationStatusEnum {
  SCHEDULED = 'SCHEDULED',
  PENDING = 'PENDING',
  UNKNOWN = 'UNKNOWN',
  ACCEPTED = 'ACCEPTED',
  CANCELLING = 'CANCELLING',
  USED = 'USED',
  CANCELLED = 'CANCELLED',
  EXPIRED = 'EXPIRED',
  REMOVED = 'REMOVED',
  REJECTED = 'REJECTED',
  FAILED = 'FAILED',
}
registerEnumType(ReservationStatusEnum, {
  name: 'ReservationStatus',
  description:
    'The status of a reservation. SCHEDULED holds its window; PENDING, UNKNOWN, ACCEPTED and CANCELLING hold the connector; the others are final.',
  valuesConfig: {
    SCHEDULED: { description: 'Booked: its window is held; the charger is asked at its start.' },
    PENDING: { description: 'Stored; the charger is being asked.' },
    UNKNOWN: {
      description:
        'The charger was asked and did not answer: it may hold the connector. The server asks again until it knows, or the hold expires.',
    },
    ACCEPTED: { description: 'The charger holds the connector.' },
    CANCELLING: {
      description: 'It was cancelled, but the charger has not confirmed yet that it released the connector.',
    },
    USED: { description: 'The holder, or its group, started a transaction.' },
    CANCELLED: { description: 'Ended by driver, operator or policy.' },
    EXPIRED: { description: 'Reached its expiry date unused.' },
    REMOVED: { description: 'The charger dropped it.' },
    REJECTED: { description: 'The charger refused it.' },
    FAILED: {
      description:
        'It never reached the charger, the charger was not ready for a booking in time, or the outcome was not learned before it expired.',
    },
  },
});

export enum ReasonEnum {
  DRIVER_REQUEST = 'DRIVER_REQUEST',
  OPERATOR_REQUEST = 'OPERATOR_REQUEST',
  POLICY = 'POLICY',
  PREEMPTED = 'PREEMPTED',
  MOVED = 'MOVED',
  NO_SHOW = 'NO_SHOW',
  CHARGER_FAULTED = 'CHARGER_FAULTED',
  CHARGER_UNAVAILABLE = 'CHARGER_UNAVAILABLE',
  CHARGER_LOST = 'CHARGER_LOST',
  NO_TRANSACTION = 'NO_TRANSACTION',
  OCCUPIED = 'OCCUPIED',
  FAULTED = 'FAULTED',
  UNAVAILABLE = 'UNAVAILABLE',
  REJECTED = 'REJECTED',
  NOT_SUPPORTED = 'NOT_SUPPORTED',
  TIMEOUT = 'TIMEOUT',
  OFFLINE = 'OFFLINE',
  REPLACED = 'REPLACED',
}
registerEnumType(ReasonEnum, {
  name: 'ReservationReason',
  description: 'Why a reservation has its status.',
  valuesConfig: {
    DRIVER_REQUEST: { description: 'The driver cancelled.' },
    OPERATOR_REQUEST: { description: 'An operator cancelled.' },
    POLICY: { description: 'The policy of the site ended it.' },
    PREEMPTED: { description: 'A group of higher priority took its place.' },
    MOVED: { description: 'It was moved to another connector: see the reservation whose `movedFrom` names it.' },
    NO_SHOW: { description: 'The holder did not come in time.' },
    CHARGER_FAULTED: { description: 'The connector broke.' },
    CHARGER_UNAVAILABLE: { description: 'The connector went out of service.' },
    CHARGER_LOST: { description: 'The charger lost it, or its connection while being asked.' },
    NO_TRANSACTION: { description: 'The idTag was presented and no transaction followed.' },
    OCCUPIED: { description: 'The charger says: occupied, or already reserved.' },
    FAULTED: { description: 'The charger says: faulted.' },
    UNAVAILABLE: { description: 'The charger says: unavailable.' },
    REJECTED: { description: 'The charger says: rejected.' },
    NOT_SUPPORTED: { description: 'The charger cannot be reserved.' },
    TIMEOUT: { description: 'The charger did not answer in time.' },
    OFFLINE: { description: 'The charger was not connected.' },
    REPLACED: { description: 'The charger is being asked to hold it again under a fresh reservationId.' },
  },
});

enum EnforcementEnum {
  CHARGER = 'CHARGER',
  SERVER = 'SERVER',
}
registerEnumType(EnforcementEnum, {
  name: 'Enforcement',
  description: 'Who keeps others away from a held connector.',
  valuesConfig: {
    CHARGER: { description: 'The charger holds the reservation itself.' },
    SERVER: {
      description: 'The charger cannot be reserved; this server refuses everybody else when the charger asks it.',
    },
  },
});

enum ReservationUpdateEnum {
  EXPIRED = 'EXPIRED',
  REMOVED = 'REMOVED',
  NO_TRANSACTION = 'NO_TRANSACTION',
}
registerEnumType(ReservationUpdateEnum, {
  name: 'ReservationUpdate',
  description: 'What an OCPP 2.x charger reports of a reservation that it ended.',
  valuesConfig: {
    EXPIRED: { description: 'It expired.' },
    REMOVED: { description: 'The charger dropped it.' },
    NO_TRANSACTION: { description: 'The idTag was presented and no transaction followed.' },
  },
});

@ObjectType('AlternativeConnector', { description: 'A connector that could be reserved instead.' })
class AlternativeType {
  @Field(() => ID, { description: 'Its charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'Its number on the charger.' })
  connectorId!: number;
}

@ObjectType('Reservation', { description: 'A connector held for an idTag until an expiry date.' })
export class ReservationType {
  @Field(() => ID, { description: 'Key of the reservation in this API.' })
  id!: string;

  @Field(() => Int, { description: 'Its id on the charger; unique among the charger’s live reservations only.' })
  reservationId!: number;

  @Field(() => ReservationStatusEnum, { description: 'Its present status.' })
  status!: ReservationStatusEnum;

  @Field(() => ReasonEnum, { nullable: true, description: 'Why it has this status; null where that needs no reason.' })
  reason?: ReasonEnum;

  @Field(() => Int, { description: 'Grows by one with each change.' })
  version!: number;

  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector; 0: the charger chooses.' })
  connectorId!: number;

  @Field(() => String, {
    nullable: true,
    description:
      'The charger chooses among the connectors with this plug; null: the connector is named, or any will do.',
  })
  plugType?: string;

  @Field(() => String, { nullable: true, description: 'The holder’s idTag; null: it is reserved for the group alone.' })
  idTag?: string;

  @Field(() => String, { nullable: true, description: 'The group whose members may also use the reservation.' })
  parentIdTag?: string;

  @Field(() => Int, { description: 'Version of the site’s policy that allowed it.' })
  policyVersion!: number;

  @Field(() => Date, { description: 'When the hold began, or the booking begins.' })
  startsAt!: Date;

  @Field(() => Date, { description: 'When the hold ends at the latest.' })
  expiryDate!: Date;

  @Field(() => Date, { description: 'When it was requested.' })
  createdAt!: Date;

  @Field(() => Date, { nullable: true, description: 'When the charger first accepted it.' })
  acceptedAt?: Date;

  @Field(() => Boolean, { description: 'Whether it was booked for later.' })
  isBooking!: boolean;

  @Field(() => Int, { description: 'How often it was extended.' })
  extensions!: number;

  @Field(() => Date, { nullable: true, description: 'When it ended; null while it holds.' })
  endedAt?: Date;

  @Field(() => ID, { nullable: true, description: 'The reservation that was moved, which this one replaces.' })
  movedFrom?: string;

  @Field(() => AlternativeType, {
    nullable: true,
    description:
      'A connector of the site that was free and fitted when the booking FAILED; null: none, or it did not fail.',
  })
  alternative?: AlternativeType;

  @Field(() => Boolean, {
    description: 'Whether its holder cancelled it so late that the cancellation counts against the holder.',
  })
  isLateCancel!: boolean;

  @Field(() => Boolean, {
    description:
      'Whether it was made so soon after an unused one of the same idTag on this charger that it counts against the holder.',
  })
  isReReservation!: boolean;

  @Field(() => ID, { nullable: true, description: 'The transaction that used it; null unless USED.' })
  transactionId?: string;

  @Field(() => Int, {
    nullable: true,
    description: 'The connector on which it was used; null unless USED and the charger reported it.',
  })
  usedConnectorId?: number;

  @Field(() => Boolean, { description: 'Whether another idTag charged on the held connector although it was refused.' })
  isBreached!: boolean;

  @Field(() => EnforcementEnum, {
    description: 'Who keeps others away: the charger itself, or this server by refusing them.',
  })
  enforcement!: EnforcementEnum;

  @Field(() => ReservationUpdateEnum, {
    nullable: true,
    description: 'What the charger reported after the reservation had ended on this server; it changes nothing.',
  })
  chargerSaid?: ReservationUpdateEnum;
}
