// A transaction: energy delivery on a connector. In 2.x it may begin before an idTag is presented.
import type { TokenType } from './id-tag.ts';

export interface Transaction {
  readonly id: string;
  readonly chargerId: string;
  readonly connectorId?: number;
  /** 1.6: the integer that this server assigned. 2.x: the string that the charger chose. */
  readonly wireId: string;
  readonly idTag?: string;
  readonly startedAt: Date;
  readonly stoppedAt?: Date;
  /** Undefined until an idTag was presented. */
  readonly isAccepted?: boolean;
}

/** An idTag presented to start charging. Times are by the charger's clock. */
export interface Presentation {
  readonly connectorId?: number;
  readonly idTag: string;
  /** Undefined in 1.6, which has no token types. */
  readonly tokenType?: TokenType;
  /** The reservationId that the charger reports: a hint only, because chargers get it wrong. */
  readonly reservationId?: number;
  readonly startedAt: Date;
}
