// A connector, which is what can be reserved (for one vehicle at a time), and its state. In OCPP 2.x it is an EVSE with
// one or more plugs.

/**
 * The states that chargers report, of 1.6 and 2.x together (2.x has OCCUPIED where 1.6 has several states). UNKNOWN:
 * none was reported.
 */
export type ConnectorState =
  | 'AVAILABLE'
  | 'PREPARING'
  | 'CHARGING'
  | 'SUSPENDED_EVSE'
  | 'SUSPENDED_EV'
  | 'FINISHING'
  | 'OCCUPIED'
  | 'RESERVED'
  | 'UNAVAILABLE'
  | 'FAULTED'
  | 'UNKNOWN';

/**
 * Plug types that OCPP 2.x has names for, so that a charger can choose a connector by its plug. Other plug types can be
 * reserved too: then the server chooses the connector.
 */
export const standardPlugTypes = [
  'CCS1',
  'CCS2',
  'CHADEMO',
  'TESLA',
  'TYPE1',
  'TYPE2_CABLE',
  'TYPE2_SOCKET',
  'TYPE3',
  'SCHUKO',
  'PANTOGRAPH',
] as const;
export type StandardPlugType = (typeof standardPlugTypes)[number];

/** The standard plug type of that name, ignoring case; undefined if there is none. */
export const standardPlugType = (name: string): StandardPlugType | undefined =>
  standardPlugTypes.find((one) => one === name.toUpperCase());

export interface Connector {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly state: ConnectorState;
  readonly errorCode?: string;
  readonly plugTypes: readonly string[];
  /** When the charger last reported its state, by the server's clock. */
  readonly stateAt?: Date;
}

/** No charger has more connectors; a higher number is a mistake of the charger or of its configuration. */
export const MAX_CONNECTOR_ID = 1000;

export interface StatusReport {
  readonly connectorId: number;
  /** 2.x: the number of the plug within the EVSE. */
  readonly plug?: number;
  readonly state: ConnectorState;
  readonly errorCode?: string;
}

const strongest: readonly ConnectorState[] = ['OCCUPIED', 'RESERVED', 'FAULTED', 'UNAVAILABLE', 'AVAILABLE'];

/**
 * The state of an EVSE from the states of its plugs: it is taken if one plug is, and out of order only if every plug
 * is.
 */
export function combinePlugs(states: readonly ConnectorState[]): ConnectorState {
  const usable = states.filter((state) => !isOutOfOrder(state));
  return strongest.find((state) => (usable.length > 0 ? usable : states).includes(state)) ?? states[0] ?? 'UNKNOWN';
}

export const isOutOfOrder = (state: ConnectorState): boolean => state === 'FAULTED' || state === 'UNAVAILABLE';

/**
 * Whether a vehicle takes the connector. PREPARING does not count: the vehicle may be the holder's, who is about to
 * present the idTag.
 */
export const isInUse = (state: ConnectorState): boolean =>
  ['CHARGING', 'SUSPENDED_EVSE', 'SUSPENDED_EV', 'FINISHING', 'OCCUPIED'].includes(state);
