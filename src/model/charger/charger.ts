// A charger: the unit that holds one OCPP socket. Its id is its OCPP identity.
export type OcppVersion = '1.6' | '2.0.1' | '2.1';

/** OCPP's: 1, a password; 2, a password over TLS; 3, a certificate. */
export type SecurityProfile = 1 | 2 | 3;

export interface Charger {
  readonly id: string;
  readonly siteId: string;
  readonly name: string;
  readonly ocppVersion?: OcppVersion;
  readonly vendor?: string;
  readonly model?: string;
  readonly serialNumber?: string;
  readonly firmwareVersion?: string;
  /** Undefined until the charger told. */
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  readonly isConnected: boolean;
  /** The lowest by which it may come in. */
  readonly securityProfile: SecurityProfile;
  readonly bootedAt?: Date;
  readonly lastSeenAt?: Date;
  /** By how much its clock is ahead of the server's (behind: negative), as its latest message had it. */
  readonly clockSkewSeconds?: number;
}

export interface BootReport {
  readonly vendor: string;
  readonly model: string;
  readonly serialNumber?: string;
  readonly firmwareVersion?: string;
}

/** What the charger told of itself; a member is absent where it did not say. */
export interface Capabilities {
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
}
