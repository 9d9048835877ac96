// The states of a connector as the API names them.
import { registerEnumType } from 'type-graphql';

export enum ConnectorStateEnum {
  AVAILABLE = 'AVAILABLE',
  PREPARING = 'PREPARING',
  CHARGING = 'CHARGING',
  SUSPENDED_EVSE = 'SUSPENDED_EVSE',
  SUSPENDED_EV = 'SUSPENDED_EV',
  FINISHING = 'FINISHING',
  OCCUPIED = 'OCCUPIED',
  RESERVED = 'RESERVED',
  UNAVAILABLE = 'UNAVAILABLE',
  FAULTED = 'FAULTED',
  UNKNOWN = 'UNKNOWN',
}
registerEnumType(ConnectorStateEnum, {
  name: 'ConnectorState',
  description: 'The state of a connector, as its charger last reported it.',
  valuesConfig: {
    AVAILABLE: { description: 'Free.' },
    PREPARING: { description: 'A vehicle is plugged in or an idTag presented; no transaction yet (OCPP 1.6).' },
    CHARGING: { description: 'Energy flows (OCPP 1.6).' },
    SUSPENDED_EVSE: { description: 'In a transaction; the charger gives no energy (OCPP 1.6).' },
    SUSPENDED_EV: { description: 'In a transaction; the vehicle takes no energy (OCPP 1.6).' },
    FINISHING: { description: 'The transaction is over, the vehicle still there (OCPP 1.6).' },
    OCCUPIED: { description: 'A vehicle is there (OCPP 2.x).' },
    RESERVED: { description: 'The charger holds it for somebody.' },
    UNAVAILABLE: { description: 'Out of service.' },
    FAULTED: { description: 'Broken: see `errorCode`.' },
    UNKNOWN: { description: 'The charger has not reported a state.' },
  },
});
