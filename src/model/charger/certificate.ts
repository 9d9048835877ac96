// Client certificates, with which chargers log in instead of a password (OCPP security profile 3).

/** A certificate that a trusted authority has signed and that is currently valid. */
export interface ClientCertificate {
  /** The only common name of its subject; in a charger's own certificate, the charger's id. */
  readonly commonName: string;
  /** SHA-256 in upper-case hexadecimal, with a colon between bytes. */
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface ChargerCertificate {
  readonly chargerId: string;
  readonly fingerprint: string;
  /**
   * serialNumber, notBefore and notAfter are absent if the certificate was revoked before it was ever seen or issued.
   */
  readonly serialNumber?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** When the charger first and last logged in with it; absent if it never has. */
  readonly firstSeenAt?: Date;
  readonly lastSeenAt?: Date;
  readonly revokedAt?: Date;
  readonly revokedBy?: string;
}
