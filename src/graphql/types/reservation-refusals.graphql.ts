// The refusals that carry a reservation, a charger's answer or a connector's state.
import { Field, ID, Int, ObjectType, registerEnumType } from 'type-graphql';
import { Refusal } from '../operations/refusals.ts';
import { ConnectorStateEnum } from './connector-state.graphql.ts';
import { ReservationType } from './reservation-type.graphql.ts';

@ObjectType({ implements: Refusal, description: 'The charger is not connected.' })
export class ChargerOffline extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Date, { nullable: true, description: 'When the charger was last heard from.' })
  lastSeenAt?: Date;

  @Field(() => ReservationType, {
    nullable: true,
    description: 'The reservation as it stands: one that was cancelled stays CANCELLING until the charger comes back.',
  })
  reservation?: ReservationType;
}

export enum ChargerAnswerEnum {
  OCCUPIED = 'OCCUPIED',
  FAULTED = 'FAULTED',
  UNAVAILABLE = 'UNAVAILABLE',
  REJECTED = 'REJECTED',
  NOT_SUPPORTED = 'NOT_SUPPORTED',
  CALL_ERROR = 'CALL_ERROR',
}
registerEnumType(ChargerAnswerEnum, {
  name: 'ChargerAnswer',
  description: 'What a charger answered instead of Accepted.',
  valuesConfig: {
    OCCUPIED: { description: 'The connector is occupied or already reserved.' },
    FAULTED: { description: 'The connector is broken.' },
    UNAVAILABLE: { description: 'The connector is out of service.' },
    REJECTED: { description: 'The charger refused without a reason.' },
    NOT_SUPPORTED: { description: 'The charger cannot be reserved.' },
    CALL_ERROR: { description: 'It failed to carry the command out.' },
  },
});

@ObjectType({ implements: Refusal, description: 'The charger refused or failed.' })
export class ChargerRefused extends Refusal {
  @Field(() => ChargerAnswerEnum, { description: 'What it answered.' })
  answer!: ChargerAnswerEnum;

  @Field(() => ReservationType, { nullable: true, description: 'The reservation after the charger’s answer.' })
  reservation!: ReservationType;
}

@ObjectType({ implements: Refusal, description: 'The reservation has ended already.' })
export class ReservationEnded extends Refusal {
  @Field(() => Date, { nullable: true, description: 'When.' })
  endedAt!: Date;

  @Field(() => ReservationType, {
    nullable: true,
    description: 'The reservation; its status and reason say how it ended.',
  })
  reservation!: ReservationType;
}

@ObjectType({ implements: Refusal, description: 'The charger is being asked about the reservation.' })
export class ReservationNotSettled extends Refusal {
  @Field(() => ReservationType, {
    nullable: true,
    description: 'The reservation as it is now; null if it is somebody else’s.',
  })
  reservation?: ReservationType;
}

@ObjectType({ implements: Refusal, description: 'The connector is in use or out of order.' })
export class ConnectorNotFree extends Refusal {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => Int, { description: 'The connector asked for; 0: any of the charger.' })
  connectorId!: number;

  @Field(() => ConnectorStateEnum, { description: 'The state that the charger last reported.' })
  state!: ConnectorStateEnum;
}
