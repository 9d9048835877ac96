// Security of chargers' connections in the API: passwords are changed, certificates renewed, revoked and listed.
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Int, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import { changeChargerPassword } from '../../administration/change-charger-password.ts';
import { renewChargerCertificate, revokeChargerCertificate } from '../../administration/manage-certificates.ts';
import { type AdministrationPorts } from '../../administration/ports.ts';
import { mayAdministerSite } from '../../model/access/rights.ts';
import type { ChargerCertificate } from '../../model/charger/certificate.ts';
import type { Charger } from '../../model/charger/charger.ts';
import type { ApiContext } from '../operations/context.ts';
import { InvalidInput, NotAllowed, NotFound, ReservationNotSupported, resultUnion } from '../operations/refusals.ts';
import { ChargerType } from './charger.graphql.ts';
import { ChargerOffline, ChargerRefused } from './reservation-refusals.graphql.ts';

@ObjectType('ChargerCertificate', { description: 'A certificate that a charger has presented or was issued.' })
class ChargerCertificateType {
  @Field(() => ID, { description: 'SHA-256 of the certificate, in hexadecimal, with a colon between bytes.' })
  fingerprint!: string;

  @Field(() => String, {
    nullable: true,
    description: 'Its serial number, in hexadecimal digits; null: it was revoked before it was ever seen.',
  })
  serialNumber?: string;

  @Field(() => Date, {
    nullable: true,
    description: 'Start of its validity; null: it was revoked before it was ever seen.',
  })
  notBefore?: Date;

  @Field(() => Date, {
    nullable: true,
    description: 'End of its validity; null: it was revoked before it was ever seen.',
  })
  notAfter?: Date;

  @Field(() => Date, { nullable: true, description: 'When the charger first logged in with it; null: it never has.' })
  firstSeenAt?: Date;

  @Field(() => Date, { nullable: true, description: 'When the charger last logged in with it; null: it never has.' })
  lastSeenAt?: Date;

  @Field(() => Date, { nullable: true, description: 'When it was revoked; null: it was not.' })
  revokedAt?: Date;

  @Field(() => String, { nullable: true, description: 'Subject of the caller who revoked it.' })
  revokedBy?: string;
}

@ObjectType({ description: 'A new password that was sent to a charger.' })
class ChargerPasswordChange {
  @Field(() => ChargerType, { description: 'The charger.' })
  charger!: Charger;

  @Field(() => Boolean, {
    description:
      'Whether the charger accepted it. False: it did not answer in time; until it logs in with the new password, the old one is valid, too.',
  })
  isAccepted!: boolean;
}

const ChangeChargerPasswordResult = resultUnion({
  name: 'ChangeChargerPasswordResult',
  description: 'The change, or why the charger keeps the password that it has.',
  success: ChargerPasswordChange,
  refusals: [NotFound, ChargerOffline, ChargerRefused, NotAllowed],
});

const RenewChargerCertificateResult = resultUnion({
  name: 'RenewChargerCertificateResult',
  description: 'The charger, once it has been asked to request a certificate; or why it will not.',
  success: ChargerType,
  refusals: [NotFound, ChargerOffline, ChargerRefused, ReservationNotSupported, NotAllowed],
});

@InputType({ description: 'A certificate to revoke.' })
class RevokeChargerCertificateInput {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => ID, { description: 'SHA-256 of the certificate, in hexadecimal, with a colon between bytes.' })
  fingerprint!: string;
}

const RevokeChargerCertificateResult = resultUnion({
  name: 'RevokeChargerCertificateResult',
  description: 'The certificate as it is now, or why it was not revoked.',
  success: ChargerCertificateType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

@Resolver(() => ChargerType)
export class ChargerSecurityResolver {
  constructor(private readonly ports: AdministrationPorts) {}

  @Mutation(() => ChangeChargerPasswordResult, {
    description:
      'Sends a charger a new password, which the server generates and shows to nobody. Once the charger has accepted it, its connection is closed, and it must log in with the new password. Admins, and operators of the site.',
  })
  changeChargerPassword(
    @Arg('id', () => ID, { description: 'The charger.' }) id: string,
    @Ctx() { caller }: ApiContext,
  ) {
    return changeChargerPassword(this.ports, caller, id);
  }

  @Mutation(() => RenewChargerCertificateResult, {
    description:
      'Asks a charger to request a new certificate, which the server then signs. Admins, and operators of the site; needs a certificate authority.',
  })
  renewChargerCertificate(
    @Arg('id', () => ID, { description: 'The charger.' }) id: string,
    @Ctx() { caller }: ApiContext,
  ) {
    return renewChargerCertificate(this.ports, caller, id);
  }

  @Mutation(() => RevokeChargerCertificateResult, {
    description:
      'Revokes a certificate, so that no login with it succeeds, and closes the charger’s connection. Admins, and operators of the site.',
  })
  revokeChargerCertificate(
    @Arg('input', () => RevokeChargerCertificateInput, { description: 'The certificate to revoke.' })
    input: RevokeChargerCertificateInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { chargerId, fingerprint } = input;
    return revokeChargerCertificate(this.ports, caller, { chargerId, fingerprint });
  }

  @FieldResolver(() => Int, {
    nullable: true,
    description:
      'The lowest of OCPP’s security profiles by which the charger may log in: 1 password, 2 password over TLS, 3 certificate. Shown to admins, and operators of the site; else null.',
  })
  securityProfile(@Root() { siteId, securityProfile }: Charger, @Ctx() { caller }: ApiContext): number | undefined {
    return mayAdministerSite(caller, siteId) ? securityProfile : undefined;
  }

  @FieldResolver(() => [ChargerCertificateType], {
    description:
      'Its newest hundred certificates, newest first. Shown to admins, and operators of the site; else empty.',
  })
  certificates(@Root() { id, siteId }: Charger, @Ctx() { caller }: ApiContext): Promise<ChargerCertificate[]> | [] {
    return mayAdministerSite(caller, siteId) ? this.ports.certificates.ofCharger(id) : [];
  }
}
