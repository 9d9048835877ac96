// What keeps the connections of chargers safe, in the API: passwords changed, certificates renewed and revoked.
import {
  Arg,
  Ctx,
  createUnionType,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Resolver,
  Root,
} from 'type-graphql';
import { mayAdministerSite } from '../auth/rights.ts';
import type { ApiContext } from '../graphql/context.ts';
import { InvalidInput, NotAllowed, NotFound, ReservationNotSupported, resultType } from '../graphql/refusals.ts';
import { ChargerOffline, ChargerRefused } from '../reservation/reservation-type.graphql.ts';
import type { CertificateRepository } from './certificate.repository.ts';
import type { ChargerCertificate } from './certificate.ts';
import type { ChangeChargerPassword } from './change-charger-password.ts';
import { ChargerType } from './charger.graphql.ts';
import type { Charger } from './charger.ts';
import type { RenewChargerCertificate, RevokeChargerCertificate } from './manage-certificates.ts';

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

const ChangeChargerPasswordResult = createUnionType({
  name: 'ChangeChargerPasswordResult',
  description: 'The change, or why the charger keeps the password that it has.',
  types: () => [ChargerPasswordChange, NotFound, ChargerOffline, ChargerRefused, NotAllowed] as const,
  resolveType: resultType('ChargerPasswordChange'),
});

const RenewChargerCertificateResult = createUnionType({
  name: 'RenewChargerCertificateResult',
  description: 'The charger, which now asks for a certificate by itself; or why it does not.',
  types: () => [ChargerType, NotFound, ChargerOffline, ChargerRefused, ReservationNotSupported, NotAllowed] as const,
  resolveType: resultType('Charger'),
});

@InputType({ description: 'A certificate to revoke.' })
class RevokeChargerCertificateInput {
  @Field(() => ID, { description: 'The charger.' })
  chargerId!: string;

  @Field(() => ID, { description: 'SHA-256 of the certificate, in hexadecimal digits by colons.' })
  fingerprint!: string;
}

const RevokeChargerCertificateResult = createUnionType({
  name: 'RevokeChargerCertificateResult',
  description: 'The certificate as it is now, or why it was not revoked.',
  types: () => [ChargerCertificateType, InvalidInput, NotFound, NotAllowed] as const,
  resolveType: resultType('ChargerCertificate'),
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
