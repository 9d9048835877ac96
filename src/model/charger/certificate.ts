// Certificates that chargers come with instead of a password: OCPP security profile 3.

/** A client's certificate that our authority, or the operator's, has signed, and that is in force. */
export interface ClientCertificate {
  /** The one common name of its subject: the charger's id. */
  readonly commonName: string;
  /** SHA-256, in upper-case hexadecimal digits by colons. */
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface ChargerCertificate {
  readonly chargerId: string;
  readonly fingerprint: string;
  /** Absent of one that was revoked before it was ever seen. */
  readonly serialNumber?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** When the charger first and last came with it; absent: it has not. */
  readonly firstSeenAt?: Date;
  readonly lastSeenAt?: Date;
  readonly revokedAt?: Date;
  readonly revokedBy?: string;
}
