// A transaction: energy delivery on a connector, begun with an idTag.
import type { TokenType } from './id-tag.ts';

export interface Transaction {
  readonly id: string;
  readonly chargerId: string;
  readonly connectorId?: number;
  /** 1.6: the integer we gave. 2.x: the charger's own string. */
  readonly wireId: string;
  readonly idTag?: string;
  readonly startedAt: Date;
  readonly stoppedAt?: Date;
  /** Undefined until an idTag was presented. */
  readonly isAccepted?: boolean;
}

/** Somebody presented an idTag and energy is to flow. Times are the charger's own. */
export interface Presentation {
  readonly connectorId?: number;
  readonly idTag: string;
  /** Undefined in 1.6, which knows no token types. */
  readonly tokenType?: TokenType;
  /** The charger's label; chargers get it wrong, so it is a hint. */
  readonly reservationId?: number;
  readonly startedAt: Date;
}
