// Sites in the API.
import {
  Arg,
  Args,
  Ctx,
  createUnionType,
  Field,
  ID,
  InputType,
  Int,
  Mutation,
  ObjectType,
  Query,
  Resolver,
} from 'type-graphql';
import { maySeeSite, siteScope } from '../auth/caller.ts';
import { present } from '../common/present.ts';
import type { ApiContext } from '../graphql/context.ts';
import { type Page, PageArgs, pageTypes, readPage } from '../graphql/page.ts';
import { InUse, InvalidInput, NotAllowed, NotFound, resultType } from '../graphql/refusals.ts';
import type { RemoveSite, SaveSite } from './save-site.ts';
import type { SiteRepository } from './site.repository.ts';
import type { Site } from './site.ts';

@ObjectType('ReservationPolicy', { description: 'What a site allows of reservations.' })
class PolicyType {
  @Field(() => Boolean, { description: 'Whether the site takes reservations at all.' })
  enabled!: boolean;

  @Field(() => Int, { description: 'The shortest reservation, in minutes.' })
  minDurationMinutes!: number;

  @Field(() => Int, { description: 'The longest reservation, in minutes.' })
  maxDurationMinutes!: number;

  @Field(() => Int, { description: 'How long a reservation lasts that names no end, in minutes.' })
  defaultDurationMinutes!: number;

  @Field(() => Boolean, {
    description:
      'Whether a connector that is known to be in use or out of order is refused before the charger is asked.',
  })
  precheckStatus!: boolean;

  @Field(() => Boolean, {
    description: 'Whether a charger that cannot be reserved is held by this server, which then refuses everybody else.',
  })
  serverSideHoldAllowed!: boolean;

  @Field(() => Boolean, {
    description: 'Whether a reservation may be extended.',
  })
  extensionAllowed!: boolean;

  @Field(() => Boolean, {
    description:
      'Whether a charger that refuses an extension is told to cancel and to hold the connector under a fresh reservationId.',
  })
  extensionMayReplace!: boolean;
}

@ObjectType('Site', { description: 'A place with chargers and one reservation policy.' })
export class SiteType {
  @Field(() => ID, { description: 'Key of the site, chosen by its operator.' })
  id!: string;

  @Field(() => String, { description: 'Name for people.' })
  name!: string;

  @Field(() => String, { description: 'IANA time zone, for example Europe/Berlin.' })
  timeZone!: string;

  @Field(() => PolicyType, { description: 'What the site allows of reservations.' })
  policy!: PolicyType;
}

@ObjectType({ description: 'Something was removed.' })
export class Removed {
  @Field(() => ID, { description: 'Key of what was removed.' })
  id!: string;
}

@InputType({ description: 'Policy fields; one left out stays as it is, or takes its default in a new site.' })
class ReservationPolicyInput {
  @Field(() => Boolean, { nullable: true, description: 'Whether the site takes reservations. Default: true.' })
  enabled?: boolean | null;

  @Field(() => Int, { nullable: true, description: 'The shortest reservation, in minutes. Default: 0.' })
  minDurationMinutes?: number | null;

  @Field(() => Int, { nullable: true, description: 'The longest reservation, in minutes. Default: 180.' })
  maxDurationMinutes?: number | null;

  @Field(() => Int, { nullable: true, description: 'How long a reservation lasts that names no end. Default: 30.' })
  defaultDurationMinutes?: number | null;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'Whether a connector that is known to be in use or out of order is refused before the charger is asked. Default: false.',
  })
  precheckStatus?: boolean | null;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'Whether a charger that cannot be reserved is held by this server, which then refuses everybody else. Default: false.',
  })
  serverSideHoldAllowed?: boolean | null;

  @Field(() => Boolean, {
    nullable: true,
    description: 'Whether a reservation may be extended. Default: true.',
  })
  extensionAllowed?: boolean | null;

  @Field(() => Boolean, {
    nullable: true,
    description:
      'Whether a charger that refuses an extension is told to cancel and to hold the connector under a fresh reservationId. Default: false.',
  })
  extensionMayReplace?: boolean | null;
}

@InputType({ description: 'A site to make or to change.' })
class SaveSiteInput {
  @Field(() => ID, { description: 'Key of the site: 1 to 64 letters, digits, ".", "_" or "-".' })
  id!: string;

  @Field(() => String, { description: 'Name for people: 1 to 200 characters.' })
  name!: string;

  @Field(() => String, { description: 'IANA time zone, for example Europe/Berlin.' })
  timeZone!: string;

  @Field(() => ReservationPolicyInput, { nullable: true, description: 'What the site allows of reservations.' })
  policy?: ReservationPolicyInput | null;
}

const SaveSiteResult = createUnionType({
  name: 'SaveSiteResult',
  description: 'The site as saved, or why not.',
  types: () => [SiteType, InvalidInput, NotAllowed] as const,
  resolveType: resultType('Site'),
});

const RemoveSiteResult = createUnionType({
  name: 'RemoveSiteResult',
  description: 'That it was removed, or why not.',
  types: () => [Removed, NotFound, InUse, NotAllowed] as const,
  resolveType: resultType('Removed'),
});

const SiteConnection = pageTypes(SiteType, 'Site', 'sites');

@Resolver(() => SiteType)
export class SiteResolver {
  constructor(
    private readonly sites: SiteRepository,
    private readonly save: SaveSite,
    private readonly remove: RemoveSite,
  ) {}

  @Query(() => SiteType, {
    nullable: true,
    description: 'A site; null where there is none, or none that is yours to see.',
  })
  async site(
    @Arg('id', () => ID, { description: 'Key of the site.' }) id: string,
    @Ctx() { caller, load }: ApiContext,
  ): Promise<Site | undefined> {
    return maySeeSite(caller, id) ? load.site(id) : undefined;
  }

  @Query(() => SiteConnection, { name: 'sites', description: 'The sites the caller may see, by their ids.' })
  list(@Args(() => PageArgs) page: PageArgs, @Ctx() { caller }: ApiContext): Promise<Page<Site>> {
    return readPage(
      page,
      ({ id }) => [id],
      (limit, after) => this.sites.page(siteScope(caller), limit, after?.[0]),
    );
  }

  @Mutation(() => SaveSiteResult, { description: 'Makes or changes a site. Admins; operators change their own.' })
  saveSite(
    @Arg('input', () => SaveSiteInput, { description: 'The site.' }) input: SaveSiteInput,
    @Ctx() { caller }: ApiContext,
  ) {
    return this.save(caller, { ...input, policy: present(input.policy ?? {}) });
  }

  @Mutation(() => RemoveSiteResult, { description: 'Removes a site that never had a charger. Admins.' })
  removeSite(@Arg('id', () => ID, { description: 'Key of the site.' }) id: string, @Ctx() { caller }: ApiContext) {
    return this.remove(caller, id);
  }
}
