// What keeps the connections of chargers safe, in the API: passwords changed, certificates renewed and revoked.
import { Arg, Ctx, Field, FieldResolver, ID, InputType, Int, Mutation, ObjectType, Resolver, Root } from 'type-graphql';
import type { ChangeChargerPassword } from '../../administration/change-charger-password.ts';
import type { RenewChargerCertificate, RevokeChargerCertificate } from '../../administration/manage-certificates.ts';
import { mayAdministerSite } from '../../model/access/rights.ts';
import type { ChargerCertificate } from '../../model/charger/certificate.ts';
import type { Charger } from '../../model/charger/charger.ts';
import type { CertificateRepository } from '../../storage/chargers/certificate.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { InvalidInput, NotAllowed, NotFound, ReservationNotSupported, resultUnion } from '../operations/refusals.ts';
import { ChargerType } from './charger.graphql.ts';
import { ChargerOffline, ChargerRefused } from './reservation-type.graphql.ts';

@ObjectType('ChargerCertificate', { description: 'A certificate that a charger has shown, or was given.' })
class ChargerCertificateType {
  @Field(() => ID, { description: 'SHA-256 of the certificate, in hexadecimal digits by colons.' })
  fingerprint!: string;

  @Field(() => String, {
    nullable: true,
    description: 'Its serial number, in hexadecimal digits; null: it was revoked before it was ever seen.',
  })
  serialNumber?: string;

  @Field(() => Date, {
    nullable: true,
    description: 'From when it is good; null: it was revoked before it was ever seen.',
  })
  notBefore?: Date;

  @Field(() => Date, {
    nullable: true,
    description: 'Until when it is good; null: it was revoked before it was ever seen.',
  })
  notAfter?: Date;

  @Field(() => Date, { nullable: true, description: 'When the charger first came with it; null: it has not.' })
  firstSeenAt?: Date;

  @Field(() => Date, { nullable: true, description: 'When it last came with it.' })
  lastSeenAt?: Date;

  @Field(() => Date, { nullable: true, description: 'Since when it is not good any more; null: it was not revoked.' })
  revokedAt?: Date;

  @Field(() => String, { nullable: true, description: 'Subject of who revoked it.' })
  revokedBy?: string;
}

@ObjectType({ description: 'A new password on its way to a charger.' })
class ChargerPasswordChange {
  @Field(() => ChargerType, { description: 'The charger.' })
  charger!: Charger;

  @Field(() => Boolean, {
    description:
      'Whether the charger has taken it. False: it did not answer in time; until it comes with the new password, the old one is good, too.',
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
  description: 'The charger, which now asks for a certificate by itself; or why it does not.',
  success: ChargerType,
  refusals: [NotFound, ChargerOffline, ChargerRefused, ReservationNotSupported, NotAllowed],
});

@InputType({ description: 'A certificate to revoke.' })
class RevokeChargerCertificateInput {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => ID, { description: 'SHA-256 of the certificate, in hexadecimal digits by colons.' })
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
  constructor(
    private readonly certificatesOf: CertificateRepository['ofCharger'],
    private readonly changePassword: ChangeChargerPassword,
    private readonly renewCertificate: RenewChargerCertificate,
    private readonly revokeCertificate: RevokeChargerCertificate,
  ) {}

  @Mutation(() => ChangeChargerPasswordResult, {
    description:
      'Gives a charger a new password, which the server makes and tells nobody. It then has to come back with it. Admins, and operators of the site.',
  })
  changeChargerPassword(
    @Arg('id', () => ID, { description: 'The charger.' }) id: string,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.changePassword(caller, id);
  }

  @Mutation(() => RenewChargerCertificateResult, {
    description:
      'Has a charger ask for a new certificate, which the server signs. Admins, and operators of the site; needs a certificate authority.',
  })
  renewChargerCertificate(
    @Arg('id', () => ID, { description: 'The charger.' }) id: string,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.renewCertificate(caller, id);
  }

  @Mutation(() => RevokeChargerCertificateResult, {
    description: 'Lets nobody in with a certificate any more. Admins, and operators of the site.',
  })
  revokeChargerCertificate(
    @Arg('input', () => RevokeChargerCertificateInput, { description: 'The certificate.' })
    input: RevokeChargerCertificateInput,
    @Ctx() { caller }: ApiContext,
  ) {
    const { chargerId, fingerprint } = input;
    return this.revokeCertificate(caller, { chargerId, fingerprint });
  }

  @FieldResolver(() => Int, {
    nullable: true,
    description:
      'The lowest of OCPP’s security profiles by which it may come in: 1 password, 2 TLS, 3 certificate. Admins, and operators of the site; else null.',
  })
  securityProfile(@Root() { siteId, securityProfile }: Charger, @Ctx() { caller }: ApiContext): number | undefined {
    return mayAdministerSite(caller, siteId) ? securityProfile : undefined;
  }

  @FieldResolver(() => [ChargerCertificateType], {
    description:
      'Its certificates, the newest first, a hundred at most. Admins, and operators of the site; else empty.',
  })
  certificates(@Root() { id, siteId }: Charger, @Ctx() { caller }: ApiContext): Promise<ChargerCertificate[]> | [] {
    return mayAdministerSite(caller, siteId) ? this.certificatesOf(id) : [];
  }
}
