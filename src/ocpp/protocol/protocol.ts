// What the gateway needs of an OCPP version: actions that answer a charger's calls, and the translation of our commands
// and the charger's answers to them.

import type { AuthorizeIdTag } from '../../charging/authorize-id-tag.ts';
import type { ConnectCharger, ReclaimCharger } from '../../charging/follow-connection.ts';
import type { AuthenticateCharger } from '../../charging/login/authenticate-charger.ts';
import type { SignCertificate } from '../../charging/login/sign-certificate.ts';
import type { StartedTransaction, TransactionReport } from '../../charging/report-transaction.ts';
import type { BootReport, Capabilities, OcppVersion } from '../../model/charger/charger.ts';
import type { ChargerAnswer, ChargerCommand, ReservationCommand } from '../../model/charger/charger-calls.ts';
import type { StatusReport } from '../../model/charger/connector.ts';
import type { Authorization } from '../../model/reservation/authorize.ts';
import type { ReservationUpdate } from '../../model/reservation/reservation.ts';
import type { Connection as Ownership } from '../../storage/chargers/charger.repository.ts';

/** The use cases that the gateway and the actions call; app.ts provides them. */
export interface ChargerUseCases {
  readonly authenticate: AuthenticateCharger;
  readonly connect: ConnectCharger;
  readonly disconnect: (chargerId: string, ownership: Ownership) => Promise<void>;
  readonly recordBoot: (chargerId: string, boot: BootReport) => Promise<void>;
  readonly reclaim: ReclaimCharger;
  readonly recordSeen: (chargerId: string) => Promise<void>;
  readonly recordClockSkew: (chargerId: string, seconds: number) => Promise<void>;
  readonly recordStatus: (chargerId: string, version: OcppVersion, report: StatusReport) => Promise<void>;
  readonly signCertificate: SignCertificate;
  readonly recordCapabilities: (chargerId: string, told: Capabilities) => Promise<void>;
  readonly authorizeIdTag: AuthorizeIdTag;
  readonly startTransaction: (
    chargerId: string,
    start: StartedTransaction,
  ) => Promise<{ wireId: string; authorization: Authorization }>;
  readonly stopTransaction: (chargerId: string, wireId: string, at: Date) => Promise<void>;
  readonly recordEnergy: (chargerId: string, wireId: string) => Promise<void>;
  readonly reportTransaction: (report: TransactionReport) => Promise<Authorization | undefined>;
  readonly recordReservationUpdate: (
    chargerId: string,
    reservationId: number,
    update: ReservationUpdate,
  ) => Promise<void>;
  readonly settleLateAnswer: (chargerId: string, command: ReservationCommand, answer: ChargerAnswer) => Promise<void>;
}

/** What an action gets to answer a charger's call. */
export interface ActionContext {
  readonly chargerId: string;
  readonly version: OcppVersion;
  readonly now: Date;
  readonly heartbeatIntervalSeconds: number;
  readonly useCases: ChargerUseCases;
  readonly isEncrypted: boolean;
  /** Runs the task after the charger's call is answered. */
  readonly afterwards: (task: () => void) => void;
  /** Asks the charger for its capabilities after its call is answered. */
  readonly learnCapabilities: () => void;
}

// biome-ignore lint/suspicious/noExplicitAny: the payload has passed the schema of its action
export type Action = (payload: any, context: ActionContext) => Promise<object>;

export interface WireCall {
  readonly action: string;
  readonly payload: object;
}

export interface Protocol {
  readonly version: OcppVersion;
  readonly subprotocol: string;
  /** The calls a charger may make; any other is answered NotImplemented. */
  readonly actions: Readonly<Record<string, Action>>;
  /** The calls that a charger queues while it is offline and sends when it is back. */
  readonly keptOffline: readonly string[];
  /** The calls that are answered ahead of earlier ones while the database is away. */
  readonly unordered: readonly string[];
  /** The actions of our own calls. */
  readonly calls: readonly string[];
  encode(command: ChargerCommand): WireCall;
  /** Translates the status in a charger's answer; the payload has passed the response schema of the action. */
  decodeAnswer(action: string, payload: object): ChargerAnswer;
  readonly capabilityCall: WireCall;
  decodeCapabilities(payload: object): Capabilities;
}
