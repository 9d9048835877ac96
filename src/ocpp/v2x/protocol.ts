// Translates OCPP 2.0.1 and 2.1 to our terms and back. `actions` lists the calls that a 2.x charger may make.
import { authorizeIdTag } from '../../charging/authorize-id-tag.ts';
import { recordReservationUpdate } from '../../charging/follow-charger.ts';
import { recordBoot, recordSeen } from '../../charging/follow-connection.ts';
import { recordStatus } from '../../charging/record-status.ts';
import { reportTransaction } from '../../charging/report-transaction.ts';
import { addMs } from '../../common/clock.ts';
import { present } from '../../common/present.ts';
import type { Capabilities, OcppVersion } from '../../model/charger/charger.ts';
import type { ChargerAnswer, ChargerCommand, ReserveCommand } from '../../model/charger/charger-calls.ts';
import { type ConnectorState, type StandardPlugType, standardPlugType } from '../../model/charger/connector.ts';
import type { TokenType } from '../../model/charger/id-tag.ts';
import type { Authorization } from '../../model/reservation/authorize.ts';
import type { ReservationUpdate } from '../../model/reservation/reservation.ts';
import type { Action, Protocol, WireCall } from '../protocol/protocol.ts';
import { instantOf } from '../protocol/timestamp.ts';

const bootNotification: Action = async (
  payload,
  { chargerId, ports, now, heartbeatIntervalSeconds, learnCapabilities },
) => {
  const { vendorName, model, serialNumber, firmwareVersion } = payload.chargingStation;
  await recordBoot(ports, chargerId, { vendor: vendorName, model, ...present({ serialNumber, firmwareVersion }) });
  learnCapabilities();
  return { status: 'Accepted', currentTime: now.toISOString(), interval: heartbeatIntervalSeconds };
};

const heartbeat: Action = async (_, { chargerId, ports, now }) => {
  await recordSeen(ports, chargerId);
  return { currentTime: now.toISOString() };
};

const states: Record<string, ConnectorState> = {
  Available: 'AVAILABLE',
  Occupied: 'OCCUPIED',
  Reserved: 'RESERVED',
  Unavailable: 'UNAVAILABLE',
  Faulted: 'FAULTED',
};

/** Our connector is the EVSE; its plugs are 2.x's connectors. */
const statusNotification: Action = async ({ evseId, connectorId, connectorStatus }, { chargerId, version, ports }) => {
  const report = { connectorId: evseId, plug: connectorId, state: states[connectorStatus] ?? 'UNKNOWN' };
  await recordStatus(ports, chargerId, version, report);
  return {};
};

interface EventData {
  readonly actualValue: string;
  readonly component: { readonly name: string; readonly evse?: { readonly id: number; readonly connectorId?: number } };
  readonly variable: { readonly name: string };
}

const notifyEvent: Action = async ({ eventData }: { eventData: EventData[] }, { chargerId, version, ports }) => {
  for (const { actualValue, component, variable } of eventData) {
    const { evse } = component;
    const state = states[actualValue];
    if (variable.name !== 'AvailabilityState' || !evse || !state) continue;
    const plug = evse.connectorId === undefined ? {} : { plug: evse.connectorId };
    await recordStatus(ports, chargerId, version, { connectorId: evse.id, state, ...plug });
  }
  return {};
};

const authorize: Action = async ({ idToken }, { chargerId, ports, now }) => ({
  idTokenInfo: toIdTokenInfo(await authorizeIdTag(ports, chargerId, 0, idToken.idToken, now), now),
});

const transactionEvent: Action = async (payload, { chargerId, ports, now }) => {
  const { eventType, timestamp, triggerReason, transactionInfo, evse, idToken, reservationId } = payload;
  const authorization = await reportTransaction(ports, {
    chargerId,
    wireId: transactionInfo.transactionId,
    at: instantOf(timestamp) ?? now,
    isEnd: eventType === 'Ended',
    isCharging: transactionInfo.chargingState === 'Charging',
    isStop: triggerReason === 'StopAuthorized',
    ...present({
      connectorId: evse?.id,
      idTag: idToken?.idToken,
      tokenType: toTokenType(idToken?.type),
      reservationId,
    }),
  });
  return authorization ? { idTokenInfo: toIdTokenInfo(authorization, now) } : {};
};

const updates: Record<string, ReservationUpdate> = {
  Expired: 'EXPIRED',
  Removed: 'REMOVED',
  NoTransaction: 'NO_TRANSACTION',
};

const reservationStatusUpdate: Action = async ({ reservationId, reservationUpdateStatus }, { chargerId, ports }) => {
  const update = updates[reservationUpdateStatus];
  if (update) await recordReservationUpdate(ports, chargerId, reservationId, update);
  return {};
};

const signCertificate: Action = async (payload, { chargerId, isEncrypted, ports, afterwards }) => {
  const { csr, certificateType, requestId } = payload;
  // Certificates for ISO 15118 come from another CA.
  const isOurs = certificateType === undefined || certificateType === CERTIFICATE;
  const request = { csr, isEncrypted, ...present({ requestId }) };
  const send = isOurs ? await ports.signer.sign(chargerId, request) : undefined;
  if (send) afterwards(send);
  return { status: send ? 'Accepted' : 'Rejected' };
};

const noted: Action = async () => ({});

const actions: Record<string, Action> = {
  Authorize: authorize,
  BootNotification: bootNotification,
  DataTransfer: async () => ({ status: 'UnknownVendorId' }),
  FirmwareStatusNotification: noted,
  Heartbeat: heartbeat,
  LogStatusNotification: noted,
  MeterValues: noted,
  NotifyEvent: notifyEvent,
  NotifyReport: noted,
  ReservationStatusUpdate: reservationStatusUpdate,
  SecurityEventNotification: noted,
  SignCertificate: signCertificate,
  StatusNotification: statusNotification,
  TransactionEvent: transactionEvent,
};

const CACHE_MS = 60_000;
/** 2.0.1's limit of an idToken, shorter than 2.1's; a longer group is left out of the answer. */
const MAX_GROUP_ID = 36;

const intruderWords = { NOT_AT_THIS_TIME: 'NotAtThisTime', BLOCKED: 'Blocked', INVALID: 'Invalid' } as const;

/**
 * The charger lets the idToken use only the EVSEs in `evseId`. If none is open, it gets NotAtThisTime or the policy's
 * status, which its cache must drop soon.
 */
function toIdTokenInfo(authorization: Authorization, now: Date): object {
  const { parentIdTag, openConnectors } = authorization;
  const isGroup = parentIdTag !== undefined && parentIdTag.length <= MAX_GROUP_ID;
  const group = isGroup ? { groupIdToken: { idToken: parentIdTag, type: 'Central' } } : {};
  const cacheExpiryDateTime = addMs(now, CACHE_MS).toISOString();
  if (authorization.status === 'RESERVED') {
    const until = Math.min(authorization.reservedUntil.getTime(), addMs(now, CACHE_MS).getTime());
    const personalMessage = { format: 'UTF8', language: 'en', content: 'Reserved for somebody else.' };
    const status = intruderWords[authorization.toldAs ?? 'NOT_AT_THIS_TIME'];
    return { status, ...group, cacheExpiryDateTime: new Date(until).toISOString(), personalMessage };
  }
  const words = { ACCEPTED: 'Accepted', BLOCKED: 'Blocked', EXPIRED: 'Expired', INVALID: 'Invalid' } as const;
  // The open EVSEs change with the holds, so the cache must drop them soon.
  const open = openConnectors && openConnectors.length > 0 ? { evseId: openConnectors, cacheExpiryDateTime } : {};
  return { status: words[authorization.status], ...group, ...open };
}

const tokenTypes: Record<TokenType, string> = {
  CENTRAL: 'Central',
  EMAID: 'eMAID',
  ISO14443: 'ISO14443',
  ISO15693: 'ISO15693',
  KEY_CODE: 'KeyCode',
  LOCAL: 'Local',
  MAC_ADDRESS: 'MacAddress',
  NO_AUTHORIZATION: 'NoAuthorization',
};
const toTokenType = (word: string | undefined) =>
  (Object.keys(tokenTypes) as TokenType[]).find((type) => tokenTypes[type] === word);

const connectorTypes: Record<StandardPlugType, string> = {
  CCS1: 'cCCS1',
  CCS2: 'cCCS2',
  CHADEMO: 'cG105',
  TESLA: 'cTesla',
  TYPE1: 'cType1',
  TYPE2_CABLE: 'cType2',
  TYPE2_SOCKET: 'sType2',
  TYPE3: 'sType3',
  SCHUKO: 'sCEE-7-7',
  PANTOGRAPH: 'Pan',
};

/** The actions of our own calls, which are checked against their schemas. */
const calls = [
  'ReserveNow',
  'CancelReservation',
  'GetVariables',
  'SetVariables',
  'CertificateSigned',
  'TriggerMessage',
] as const;
type OwnAction = (typeof calls)[number];

function encode(command: ChargerCommand): WireCall<OwnAction> {
  switch (command.type) {
    case 'ReserveNow':
      return { action: 'ReserveNow', payload: reserveNow(command) };
    case 'CancelReservation':
      return { action: 'CancelReservation', payload: { reservationId: command.reservationId } };
    case 'ChangePassword': {
      const place = { component: { name: 'SecurityCtrlr' }, variable: { name: 'BasicAuthPassword' } };
      const payload = { setVariableData: [{ ...place, attributeValue: command.password }] };
      return { action: 'SetVariables', payload };
    }
    case 'InstallCertificate': {
      const { chain, requestId } = command;
      const payload = { certificateChain: chain, certificateType: CERTIFICATE, ...present({ requestId }) };
      return { action: 'CertificateSigned', payload };
    }
    case 'AskForRequest':
      return { action: 'TriggerMessage', payload: { requestedMessage: `Sign${CERTIFICATE}` } };
    default:
      return command satisfies never;
  }
}

const CERTIFICATE = 'ChargingStationCertificate';

function reserveNow(command: ReserveCommand): object {
  const { connectorId, plugType, expiryDate, idTag, tokenType, parentIdTag, reservationId } = command;
  const plug = plugType === undefined ? undefined : standardPlugType(plugType);
  return {
    id: reservationId,
    expiryDateTime: expiryDate.toISOString(),
    idToken: { idToken: idTag, type: tokenTypes[tokenType] },
    ...(connectorId > 0 && { evseId: connectorId }),
    ...(plug && { connectorType: connectorTypes[plug] }),
    ...(parentIdTag !== undefined && { groupIdToken: { idToken: parentIdTag, type: 'Central' } }),
  };
}

/**
 * SetVariables: RebootRequired counts as ACCEPTED, since it takes effect at the next boot. Every other status but
 * Accepted, also of TriggerMessage, counts as REJECTED.
 */
function decodeAnswer(action: OwnAction, payload: object): ChargerAnswer {
  const { status } = payload as { status: string };
  const [result] = (payload as { setVariableResult?: { attributeStatus: string }[] }).setVariableResult ?? [];
  switch (action) {
    case 'SetVariables':
      return result && ['Accepted', 'RebootRequired'].includes(result.attributeStatus) ? 'ACCEPTED' : 'REJECTED';
    case 'ReserveNow':
    case 'CancelReservation':
      return status.toUpperCase() as ChargerAnswer;
    case 'GetVariables':
    case 'CertificateSigned':
    case 'TriggerMessage':
      return status === 'Accepted' ? 'ACCEPTED' : 'REJECTED';
    default:
      return action satisfies never;
  }
}

interface VariableResult {
  readonly attributeStatus: string;
  readonly attributeValue?: string;
  readonly variable: { readonly name: string };
}

const variables = ['Enabled', 'Available', 'NonEvseSpecific'];

function decodeCapabilities(payload: object): Capabilities {
  const { getVariableResult } = payload as { getVariableResult: VariableResult[] };
  const resultOf = (name: string) => getVariableResult.find(({ variable }) => variable.name === name);
  const told = (name: string) => resultOf(name)?.attributeValue?.toLowerCase();
  const isOff = told('Enabled') === 'false' || told('Available') === 'false';
  // A charger without the component has no reservations; if only some variables are missing, support stays unknown.
  const isMissing = variables.every((name) => resultOf(name)?.attributeStatus === 'UnknownComponent');
  const isOn = told('Enabled') === 'true' || told('Available') === 'true';
  const zero = told('NonEvseSpecific');
  return {
    ...((isOff || isMissing || isOn) && { supportsReservation: !isOff && !isMissing }),
    ...(zero !== undefined && { supportsConnectorZero: zero === 'true' }),
  };
}

const protocol = (version: OcppVersion): Protocol => ({
  version,
  subprotocol: `ocpp${version}`,
  actions,
  keptOffline: ['TransactionEvent'],
  unordered: ['Heartbeat'],
  calls,
  encode,
  decodeAnswer,
  capabilityCall: {
    action: 'GetVariables',
    payload: {
      getVariableData: variables.map((name) => ({ component: { name: 'ReservationCtrlr' }, variable: { name } })),
    },
  },
  decodeCapabilities,
});

export const v201 = protocol('2.0.1');
export const v21 = protocol('2.1');
