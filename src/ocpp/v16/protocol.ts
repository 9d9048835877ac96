// Translates OCPP 1.6J to our terms and back. `actions` lists the calls that a 1.6 charger may make.
import { authorizeIdTag } from '../../charging/authorize-id-tag.ts';
import { recordBoot, recordSeen } from '../../charging/follow-connection.ts';
import { recordStatus } from '../../charging/record-status.ts';
import { recordEnergy, startTransaction, stopTransaction } from '../../charging/report-transaction.ts';
import { addMs } from '../../common/clock.ts';
import { present } from '../../common/present.ts';
import type { Capabilities } from '../../model/charger/charger.ts';
import type { ChargerAnswer, ChargerCommand } from '../../model/charger/charger-calls.ts';
import type { ConnectorState } from '../../model/charger/connector.ts';
import type { Authorization } from '../../model/reservation/authorize.ts';
import type { Action, Protocol, WireCall } from '../protocol/protocol.ts';
import { instantOf } from '../protocol/timestamp.ts';

const bootNotification: Action = async (
  payload,
  { chargerId, ports, now, heartbeatIntervalSeconds, learnCapabilities },
) => {
  const { chargePointVendor, chargePointModel, chargePointSerialNumber, firmwareVersion } = payload;
  const rest = present({ serialNumber: chargePointSerialNumber, firmwareVersion });
  await recordBoot(ports, chargerId, { vendor: chargePointVendor, model: chargePointModel, ...rest });
  learnCapabilities();
  return { status: 'Accepted', currentTime: now.toISOString(), interval: heartbeatIntervalSeconds };
};

const heartbeat: Action = async (_, { chargerId, ports, now }) => {
  await recordSeen(ports, chargerId);
  return { currentTime: now.toISOString() };
};

const states: Record<string, ConnectorState> = {
  Available: 'AVAILABLE',
  Preparing: 'PREPARING',
  Charging: 'CHARGING',
  SuspendedEVSE: 'SUSPENDED_EVSE',
  SuspendedEV: 'SUSPENDED_EV',
  Finishing: 'FINISHING',
  Reserved: 'RESERVED',
  Unavailable: 'UNAVAILABLE',
  Faulted: 'FAULTED',
};

const statusNotification: Action = async ({ connectorId, status, errorCode }, { chargerId, version, ports }) => {
  const error = errorCode === 'NoError' ? {} : { errorCode };
  await recordStatus(ports, chargerId, version, { connectorId, state: states[status] ?? 'UNKNOWN', ...error });
  return {};
};

const authorize: Action = async ({ idTag }, { chargerId, ports, now }) => ({
  idTagInfo: toIdTagInfo(await authorizeIdTag(ports, chargerId, 0, idTag, now), now),
});

const startTransactionCall: Action = async (payload, { chargerId, ports, now }) => {
  const { connectorId, idTag, meterStart, timestamp, reservationId } = payload;
  const label = reservationId > 0 ? { reservationId } : {};
  const start = { connectorId, idTag, meterStart, startedAt: instantOf(timestamp) ?? now, ...label };
  const { wireId, authorization } = await startTransaction(ports, chargerId, start);
  return { transactionId: Number(wireId), idTagInfo: toIdTagInfo(authorization, now) };
};

const stopTransactionCall: Action = async ({ transactionId, timestamp, idTag }, { chargerId, ports, now }) => {
  await stopTransaction(ports, chargerId, `${transactionId}`, instantOf(timestamp) ?? now);
  if (idTag === undefined) return {};
  return { idTagInfo: toIdTagInfo(await authorizeIdTag(ports, chargerId, 0, idTag, now), now) };
};

const meterValues: Action = async ({ transactionId }, { chargerId, ports }) => {
  if (transactionId !== undefined) await recordEnergy(ports, chargerId, `${transactionId}`);
  return {};
};

const signCertificate: Action = async ({ csr }, { chargerId, isEncrypted, ports, afterwards }) => {
  const send = await ports.signer.sign(chargerId, { csr, isEncrypted });
  if (send) afterwards(send);
  return { status: send ? 'Accepted' : 'Rejected' };
};

const noted: Action = async () => ({});

const actions: Record<string, Action> = {
  Authorize: authorize,
  BootNotification: bootNotification,
  DataTransfer: async () => ({ status: 'UnknownVendorId' }),
  DiagnosticsStatusNotification: noted,
  FirmwareStatusNotification: noted,
  Heartbeat: heartbeat,
  LogStatusNotification: noted,
  MeterValues: meterValues,
  SecurityEventNotification: noted,
  SignCertificate: signCertificate,
  SignedFirmwareStatusNotification: noted,
  StartTransaction: startTransactionCall,
  StatusNotification: statusNotification,
  StopTransaction: stopTransactionCall,
};

/** Chargers cache answers: a refusal because of a hold must expire soon. */
const CACHE_MS = 60_000;
/**
 * OCPP 1.6's limit of an idTag. A longer parentIdTag is left out: an answer that breaks the schema is not sent, and
 * every start needs an answer.
 */
const MAX_ID_TAG = 20;

/**
 * 1.6 has no status for "reserved for somebody else": the charger gets Blocked, or Invalid if the policy says so, with
 * the end of the hold as expiryDate, at most a minute ahead.
 */
function toIdTagInfo(authorization: Authorization, now: Date): object {
  const { parentIdTag } = authorization;
  const parent = parentIdTag === undefined || parentIdTag.length > MAX_ID_TAG ? {} : { parentIdTag };
  if (authorization.status === 'RESERVED') {
    const until = Math.min(authorization.reservedUntil.getTime(), addMs(now, CACHE_MS).getTime());
    return {
      status: authorization.toldAs === 'INVALID' ? 'Invalid' : 'Blocked',
      ...parent,
      expiryDate: new Date(until).toISOString(),
    };
  }
  const words = { ACCEPTED: 'Accepted', BLOCKED: 'Blocked', EXPIRED: 'Expired', INVALID: 'Invalid' } as const;
  return { status: words[authorization.status], ...parent };
}

/** The actions of our own calls, which are checked against their schemas. */
const calls = [
  'ReserveNow',
  'CancelReservation',
  'GetConfiguration',
  'ChangeConfiguration',
  'CertificateSigned',
  'ExtendedTriggerMessage',
] as const;
type OwnAction = (typeof calls)[number];

function encode(command: ChargerCommand): WireCall<OwnAction> {
  switch (command.type) {
    case 'ReserveNow': {
      const { connectorId, expiryDate, idTag, parentIdTag, reservationId } = command;
      const group = parentIdTag === undefined ? {} : { parentIdTag };
      const payload = { connectorId, expiryDate: expiryDate.toISOString(), idTag, ...group, reservationId };
      return { action: 'ReserveNow', payload };
    }
    case 'CancelReservation':
      return { action: 'CancelReservation', payload: { reservationId: command.reservationId } };
    case 'ChangePassword': {
      // AuthorizationKey is sent in hexadecimal digits, whatever the password consists of (security whitepaper).
      const value = Buffer.from(command.password).toString('hex').toUpperCase();
      return { action: 'ChangeConfiguration', payload: { key: 'AuthorizationKey', value } };
    }
    case 'InstallCertificate':
      return { action: 'CertificateSigned', payload: { certificateChain: command.chain } };
    case 'AskForRequest':
      return { action: 'ExtendedTriggerMessage', payload: { requestedMessage: 'SignChargePointCertificate' } };
    default:
      return command satisfies never;
  }
}

/** ChangeConfiguration: RebootRequired counts as ACCEPTED, since it takes effect at the next boot. */
function decodeAnswer(action: OwnAction, payload: object): ChargerAnswer {
  const { status } = payload as { status: string };
  switch (action) {
    case 'ReserveNow':
    case 'CancelReservation':
      return status.toUpperCase() as ChargerAnswer;
    case 'ChangeConfiguration':
      return status === 'Accepted' || status === 'RebootRequired' ? 'ACCEPTED' : 'REJECTED';
    case 'GetConfiguration':
    case 'CertificateSigned':
    case 'ExtendedTriggerMessage':
      return status === 'Accepted' ? 'ACCEPTED' : 'REJECTED';
    default:
      return action satisfies never;
  }
}

interface KeyValue {
  readonly key: string;
  readonly value?: string;
}

function decodeCapabilities(payload: object): Capabilities {
  const { configurationKey = [] } = payload as { configurationKey?: KeyValue[] };
  const told = (name: string) => configurationKey.find(({ key }) => key.toLowerCase() === name.toLowerCase())?.value;
  const profiles = told('SupportedFeatureProfiles');
  const zero = told('ReserveConnectorZeroSupported');
  const isReservable = profiles?.split(',').some((profile) => profile.trim().toLowerCase() === 'reservation');
  return {
    ...(isReservable !== undefined && { supportsReservation: isReservable }),
    ...(zero !== undefined && { supportsConnectorZero: zero.toLowerCase() === 'true' }),
  };
}

export const v16: Protocol = {
  version: '1.6',
  subprotocol: 'ocpp1.6',
  actions,
  keptOffline: ['StartTransaction', 'StopTransaction'],
  unordered: ['Heartbeat'],
  calls,
  encode,
  decodeAnswer,
  capabilityCall: {
    action: 'GetConfiguration',
    payload: { key: ['SupportedFeatureProfiles', 'ReserveConnectorZeroSupported'] },
  },
  decodeCapabilities,
};
