// One OCPP version, as the gateway uses it: actions that answer a charger's calls, and the translation of our commands
// and the charger's answers to them.
import type { ChargingPorts } from '../../charging/ports.ts';
import type { Capabilities, OcppVersion } from '../../model/charger/charger.ts';
import type { ChargerAnswer, ChargerCommand } from '../../model/charger/charger-calls.ts';

/** The context in which an action answers a charger's call. */
export interface ActionContext {
  readonly chargerId: string;
  readonly version: OcppVersion;
  readonly now: Date;
  readonly heartbeatIntervalSeconds: number;
  /** For the use cases that the charger's messages start. */
  readonly ports: ChargingPorts;
  readonly isEncrypted: boolean;
  /** Runs the task after the charger's call is answered. */
  readonly afterwards: (task: () => void) => void;
  /** Asks the charger for its capabilities after its call is answered. */
  readonly learnCapabilities: () => void;
}

// biome-ignore lint/suspicious/noExplicitAny: the payload has passed the schema of its action
export type Action = (payload: any, context: ActionContext) => Promise<object>;

export interface WireCall<A extends string = string> {
  readonly action: A;
  readonly payload: object;
}

export interface Protocol {
  readonly version: OcppVersion;
  readonly subprotocol: string;
  /** The calls a charger may make (`actions` in v16/ and v2x/); any other is answered NotImplemented. */
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
