// The seam between the use cases and the wire: what may be asked of a charger, and the five ways that can end.
// It must not know OCPP frames, versions or sockets.
import type { TokenType } from './id-tag.ts';

export interface ReserveCommand {
  readonly type: 'ReserveNow';
  /** Our record, which a late answer is for; never on the wire. */
  readonly id: string;
  readonly reservationId: number;
  /** 0: the charger chooses. */
  readonly connectorId: number;
  /** Only a connector with that plug. */
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

/** What a charger is told about a reservation; an answer that comes late is settled. */
export type ReservationCommand = ReserveCommand | CancelCommand;

/** What keeps the connection with a charger safe. */
export type SecurityCommand =
  /** 16 to 20 characters of ASCII. */
  | { readonly type: 'ChangePassword'; readonly password: string }
  /** PEM: the charger's certificate, then those above it. */
  | { readonly type: 'InstallCertificate'; readonly chain: string; readonly requestId?: number }
  /** That it asks for a certificate. */
  | { readonly type: 'AskForRequest' };

export type ChargerCommand = ReservationCommand | SecurityCommand;

export type ChargerAnswer = 'ACCEPTED' | 'OCCUPIED' | 'FAULTED' | 'UNAVAILABLE' | 'REJECTED';

export type Outcome =
  | { readonly type: 'answer'; readonly answer: ChargerAnswer }
  /** The charger's CALLERROR: it did not carry the command out. */
  | { readonly type: 'call-error'; readonly code: string; readonly description: string }
  /** The frame was written and nothing came back in time: the charger may have carried the command out. */
  | { readonly type: 'timed-out' }
  /** The socket closed after the frame was written: as unknown as a timeout. */
  | { readonly type: 'connection-lost' }
  /** The frame was never written. */
  | { readonly type: 'offline' };

export interface ChargerCalls {
  /** Sends the command to the charger wherever its socket is. Never throws: every end is an Outcome. */
  call(chargerId: string, command: ChargerCommand): Promise<Outcome>;
}
