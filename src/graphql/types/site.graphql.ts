// GraphQL API of sites, their policies and the versions of the policies.
import {
  Arg,
  Args,
  ArgsType,
  Ctx,
  Field,
  FieldResolver,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
  Root,
} from 'type-graphql';
import { type AdministrationPorts } from '../../administration/ports.ts';
import type { OverrideKey } from '../../administration/save-site.ts';
import { removeOverride, removeSite, saveOverride, saveSite } from '../../administration/save-site.ts';
import { noCursor } from '../../common/page.ts';
import { present } from '../../common/present.ts';
import { may, mayAdministerSite, maySeeSite, needsPermission, siteScope } from '../../model/access/rights.ts';
import { type PolicyOverride, type ReservationPolicy, resolvePolicy } from '../../model/site/policy.ts';
import type { Site } from '../../model/site/site.ts';
import type { PolicyChange } from '../../storage/sites/policy.repository.ts';
import type { ApiContext } from '../operations/context.ts';
import { forbidden } from '../operations/errors.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../operations/page.ts';
import { InUse, InvalidInput, NotAllowed, NotFound, resultUnion } from '../operations/refusals.ts';
import {
  PolicyChangeType,
  PolicyOverrideType,
  PolicyType,
  ReservationPolicyInput,
  toFields,
} from './policy-type.graphql.ts';

@ObjectType('Site', { description: 'A place with chargers and one reservation policy.' })
export class SiteType {
  @Field(() => ID, { description: 'Key of the site, chosen when it is created.' })
  id!: string;

  @Field(() => String, { description: 'Human-readable name.' })
  name!: string;

  @Field(() => String, { description: 'IANA time zone, for example Europe/Berlin.' })
  timeZone!: string;
}

@ObjectType({ description: 'Something was removed.' })
export class Removed {
  @Field(() => ID, { description: 'Key of what was removed.' })
  id!: string;
}

@InputType({ description: 'A site to create or change.' })
class SaveSiteInput {
  @Field(() => ID, { description: 'Key of the site: 1 to 64 letters, digits, ".", "_" or "-".' })
  id!: string;

  @Field(() => String, { description: 'Name for people: 1 to 200 characters.' })
  name!: string;

  @Field(() => String, { description: 'IANA time zone, for example Europe/Berlin.' })
  timeZone!: string;

  @Field(() => ReservationPolicyInput, { nullable: true, description: 'The policy fields to set.' })
  policy?: ReservationPolicyInput | null;
}

@InputType({ description: 'Names the override of one charger or of one group.' })
class PolicyOverrideKey {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;

  @Field(() => ID, { nullable: true, description: 'The charger. Give either this or `parentIdTag`.' })
  chargerId?: string | null;

  @Field(() => String, { nullable: true, description: 'The group. Give either this or `chargerId`.' })
  parentIdTag?: string | null;
}

@InputType({ description: 'The override of one charger or of one group, to create or replace.' })
class SavePolicyOverrideInput extends PolicyOverrideKey {
  @Field(() => ReservationPolicyInput, { description: 'The fields that are overridden.' })
  policy!: ReservationPolicyInput;
}

const SaveSiteResult = resultUnion({
  name: 'SaveSiteResult',
  description: 'The saved site, or why it was not saved.',
  success: SiteType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

const RemoveSiteResult = resultUnion({
  name: 'RemoveSiteResult',
  description: 'The key of the removed site, or why it was not removed.',
  success: Removed,
  refusals: [NotFound, InUse, NotAllowed],
});

const SavePolicyOverrideResult = resultUnion({
  name: 'SavePolicyOverrideResult',
  description: 'The site with its overrides, or why they were not changed.',
  success: SiteType,
  refusals: [InvalidInput, NotFound, NotAllowed],
});

const PolicyChangeConnection = pageTypes(PolicyChangeType, 'PolicyChange', 'policy changes');

@ArgsType()
class PolicyChangesArgs extends PageArgs {
  @Field(() => ID, { description: 'The site.' })
  siteId!: string;
}

/** The site of a charger or of a reservation; throws FORBIDDEN if the caller may not read sites. */
export function siteOf(siteId: string, { caller, load }: ApiContext) {
  if (!may(caller, 'sites:read')) throw forbidden(needsPermission('sites:read'));
  return load.site(siteId);
}

const SiteConnection = pageTypes(SiteType, 'Site', 'sites');

@Resolver(() => SiteType)
export class SiteResolver {
  constructor(private readonly ports: AdministrationPorts) {}

  @Query(() => SiteType, {
    nullable: true,
    description: 'A site; null if there is none, or if you may not see it.',
  })
  async site(
    @Arg('id', () => ID, { description: 'Key of the site.' }) id: string,
    @Ctx() { caller, load }: ApiContext,
  ): Promise<Site | undefined> {
    return maySeeSite(caller, id) ? load.site(id) : undefined;
  }

  @Query(() => SiteConnection, { name: 'sites', description: 'The sites that the caller may see, ordered by id.' })
  list(@Args(() => PageArgs) page: PageArgs, @Ctx() { caller }: ApiContext): Promise<Page<Site>> {
    return readPage(
      page,
      ({ id }) => [id],
      (limit, after) => this.ports.sites.page(siteScope(caller), limit, after?.[0]),
    );
  }

  @Mutation(() => SaveSiteResult, {
    description: 'Creates or changes a site. For admins; operators may change their own.',
  })
  saveSite(
    @Arg('input', () => SaveSiteInput, { description: 'The site.' }) input: SaveSiteInput,
    @Ctx() { caller }: ApiContext,
  ) {
    return saveSite(this.ports, caller, { ...input, policy: toFields(input.policy) });
  }

  @Mutation(() => RemoveSiteResult, { description: 'Removes a site that never had a charger. For admins.' })
  removeSite(@Arg('id', () => ID, { description: 'Key of the site.' }) id: string, @Ctx() { caller }: ApiContext) {
    return removeSite(this.ports, caller, id);
  }

  @Mutation(() => SavePolicyOverrideResult, {
    description:
      'Sets the policy fields in which one charger or one group differs from its site. For admins and operators of the site.',
  })
  savePolicyOverride(
    @Arg('input', () => SavePolicyOverrideInput, { description: 'The override.' }) input: SavePolicyOverrideInput,
    @Ctx() { caller }: ApiContext,
  ) {
    return saveOverride(this.ports, caller, { ...toKey(input), policy: toFields(input.policy) });
  }

  @Mutation(() => SavePolicyOverrideResult, {
    description:
      'Removes an override, so that the charger or the group no longer differs from its site. For admins and operators of the site.',
  })
  removePolicyOverride(
    @Arg('input', () => PolicyOverrideKey, { description: 'The override.' }) input: PolicyOverrideKey,
    @Ctx() { caller }: ApiContext,
  ) {
    return removeOverride(this.ports, caller, toKey(input));
  }

  @Query(() => PolicyChangeConnection, {
    description: 'The versions of a site’s policy, newest first. For admins and operators of the site.',
  })
  async policyChanges(
    @Args(() => PolicyChangesArgs) { siteId, ...page }: PolicyChangesArgs,
    @Ctx() { caller }: ApiContext,
  ): Promise<Page<PolicyChange>> {
    if (!mayAdministerSite(caller, siteId))
      throw forbidden('Only admins and the operators of the site may see the versions of its policy.');
    return readPage(
      page,
      ({ version }) => [`${version}`],
      (limit, after) => this.ports.policyRows.changes(siteId, limit, after ? toVersion(after[0]) : NEWEST),
    );
  }

  @FieldResolver(() => PolicyType, { description: 'The policy of the site, without its overrides.' })
  policy(@Root() { policies }: Site): ReservationPolicy {
    return resolvePolicy(policies);
  }

  @FieldResolver(() => Int, {
    description: 'The version of the site’s policy, overrides included; each change makes a new one.',
  })
  policyVersion(@Root() { policies }: Site): number {
    return policies.version;
  }

  @FieldResolver(() => [PolicyOverrideType], {
    description: 'The overrides of chargers and groups. For admins and operators of the site; empty for all others.',
  })
  policyOverrides(@Root() { id, policies }: Site, @Ctx() { caller }: ApiContext): readonly PolicyOverride[] {
    return mayAdministerSite(caller, id) ? policies.overrides : [];
  }
}

const NEWEST = 2_147_483_647;

function toVersion(text: string | undefined): number {
  const version = Number(text);
  if (!Number.isInteger(version) || version < 0 || version > NEWEST) throw noCursor();
  return version;
}

const toKey = ({ siteId, ...key }: PolicyOverrideKey): OverrideKey => {
  const { chargerId, parentIdTag } = present(key);
  return { siteId, ...present({ chargerId, parentIdTag }) };
};
