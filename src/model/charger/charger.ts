// A charger: the unit that holds one OCPP socket. Its id is its OCPP identity.
export type OcppVersion = '1.6' | '2.0.1' | '2.1';

/** OCPP's security profiles: 1, a password; 2, a password over TLS; 3, a certificate. */
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
  /** Both are undefined until the charger has reported them. */
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
  readonly isConnected: boolean;
  /** The lowest profile by which the charger may log in. */
  readonly securityProfile: SecurityProfile;
  readonly bootedAt?: Date;
  readonly lastSeenAt?: Date;
  /** By how many seconds its clock is ahead of the server's (negative: behind), as measured last. */
  readonly clockSkewSeconds?: number;
}

export interface BootReport {
  readonly vendor: string;
  readonly model: string;
  readonly serialNumber?: string;
  readonly firmwareVersion?: string;
}

/** Capabilities that the charger has reported; a member is absent if the charger did not report it. */
export interface Capabilities {
  readonly supportsReservation?: boolean;
  readonly supportsConnectorZero?: boolean;
}
