// The interface between the use cases and OCPP: the commands for a charger, and the five outcomes of a command. It must
// not know OCPP frames, versions or sockets.
import type { TokenType } from './id-tag.ts';

export interface ReserveCommand {
  readonly type: 'ReserveNow';
  /** The key of our reservation, to which a late answer is matched; never on the wire. */
  readonly id: string;
  readonly reservationId: number;
  /** 0: the charger chooses. */
  readonly connectorId: number;
  /** The charger may choose only a connector with this plug. */
  readonly plugType?: string;
  readonly idTag: string;
  readonly tokenType: TokenType;
  readonly parentIdTag?: string;
  readonly expiryDate: Date;
}

export interface CancelCommand {
  readonly type: 'CancelReservation';
  readonly id: string;
  readonly reservationId: number;
}

/** A command about a reservation. An answer that comes after the timeout is still settled. */
export type ReservationCommand = ReserveCommand | CancelCommand;

/** A command that changes a charger's credentials. */
export type SecurityCommand =
  /** 16 to 20 characters of ASCII. */
  | { readonly type: 'ChangePassword'; readonly password: string }
  /** PEM: the charger's certificate, then, if the length allows, the CA certificates above it. */
  | { readonly type: 'InstallCertificate'; readonly chain: string; readonly requestId?: number }
  /** Asks the charger to send a certificate request. */
  | { readonly type: 'AskForRequest' };

export type ChargerCommand = ReservationCommand | SecurityCommand;

export type ChargerAnswer = 'ACCEPTED' | 'OCCUPIED' | 'FAULTED' | 'UNAVAILABLE' | 'REJECTED';

export type Outcome =
  | { readonly type: 'answer'; readonly answer: ChargerAnswer }
  /**
   * The charger answered with a CALLERROR: it did not carry the command out, except perhaps after InternalError or
   * GenericError.
   */
  | { readonly type: 'call-error'; readonly code: string; readonly description: string }
  /**
   * No readable answer came in time, from the charger or from the node that holds its socket: the charger may have
   * carried the command out.
   */
  | { readonly type: 'timed-out' }
  /** The socket closed after the frame was written: the charger may have carried the command out. */
  | { readonly type: 'connection-lost' }
  /** The frame was never written. */
  | { readonly type: 'offline' };

export interface ChargerCalls {
  /**
   * Sends the command to the charger; routeCall finds its socket at any node, the gateway only at its own. Never
   * throws: every end is an Outcome.
   */
  call(chargerId: string, command: ChargerCommand): Promise<Outcome>;
}
