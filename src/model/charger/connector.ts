// A connector and its state: what is reserved, one vehicle at a time. In OCPP 2.x it is an EVSE with one or more plugs.

/** The charger's own word for a connector, 1.6 and 2.x together (2.x says OCCUPIED where 1.6 is finer). */
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
 * Plugs that have a name of their own in OCPP 2.x, so that a charger can be asked for any connector with one. A plug of
 * any other name is as good here: the server finds the connector itself.
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

/** By its name without regard to case; undefined where it is none of them. */
export const standardPlugType = (name: string): StandardPlugType | undefined =>
  standardPlugTypes.find((one) => one === name.toUpperCase());

export interface Connector {
  readonly chargerId: string;
  readonly connectorId: number;
  readonly state: ConnectorState;
  readonly errorCode?: string;
  readonly plugTypes: readonly string[];
  /** When the charger last told of it, by the server's clock. */
  readonly stateAt?: Date;
}

/** No charger has more; a number beyond it is an error of the charger, or of whoever set it up. */
export const MAX_CONNECTOR_ID = 1000;

export interface StatusReport {
  readonly connectorId: number;
  /** 2.x: which plug of the EVSE. */
  readonly plug?: number;
  readonly state: ConnectorState;
  readonly errorCode?: string;
}

const strongest: readonly ConnectorState[] = ['OCCUPIED', 'RESERVED', 'FAULTED', 'UNAVAILABLE', 'AVAILABLE'];

/** The state of an EVSE from its plugs: one taken plug takes it; it is out of order only when every plug is. */
export function combinePlugs(states: readonly ConnectorState[]): ConnectorState {
  const usable = states.filter((state) => !isOutOfOrder(state));
  return strongest.find((state) => (usable.length > 0 ? usable : states).includes(state)) ?? states[0] ?? 'UNKNOWN';
}

export const isOutOfOrder = (state: ConnectorState): boolean => state === 'FAULTED' || state === 'UNAVAILABLE';

/** Whether somebody's vehicle takes it. PREPARING does not count: that may be the holder, about to present the idTag. */
export const isInUse = (state: ConnectorState): boolean =>
  ['CHARGING', 'SUSPENDED_EVSE', 'SUSPENDED_EV', 'FINISHING', 'OCCUPIED'].includes(state);
