-- The tree of accounts: who belongs to whom, and who sees whom.
set local role tandem_owner;

create table tandem.currency (
  code       text primary key constraint currency_is_three_capitals check (code ~ '^[A-Z]{3}$'),
  scale      smallint not null constraint scale_is_0_to_6 check (scale between 0 and 6),
  created_at timestamptz not null default now()
);
comment on table tandem.currency is 'Currencies that prices and funds may be in.';
comment on column tandem.currency.code is 'ISO 4217 code.';
comment on column tandem.currency.scale is 'Decimals shown to people; amounts are micros whatever the scale.';
comment on column tandem.currency.created_at is 'When the row was made.';
insert into tandem.currency(code, scale) values ('EUR', 2), ('USD', 2), ('GBP', 2), ('CHF', 2), ('JPY', 0);

create table tandem.account (
  id             bigint generated always as identity primary key,
  parent_id      bigint references tandem.account,
  kind           text not null constraint kind_is_known check (kind in ('root', 'reseller', 'customer')),
  status         text not null default 'active'
                 constraint status_is_known check (status in ('active', 'suspended', 'closed')),
  name           tandem.label not null,
  contact_id     bigint,
  tariff_id      bigint,
  currency       text not null references tandem.currency,
  timezone       text not null default 'UTC' constraint timezone_is_known check (tandem.is_timezone(timezone)),
  language       text not null default 'en' constraint language_is_a_code check (language ~ '^[a-z]{2}(-[A-Z]{2})?$'),
  routing        text[] not null default '{}'
                 constraint routing_is_a_sequence_of_known_criteria
                 check (routing <@ array['prefix', 'priority', 'cost', 'quality', 'weight']
                        and tandem.all_distinct(routing)),
  barred         text[] not null default '{}'
                 constraint barred_are_prefixes check (tandem.all_match(barred, '^[1-9][0-9]{0,14}$')),
  share_children boolean not null default false,
  created_at     timestamptz not null default now(),
  constraint only_the_root_has_no_parent check ((kind = 'root') = (parent_id is null)),
  constraint an_account_has_a_tariff_unless_root check ((kind = 'root') = (tariff_id is null)),
  constraint account_is_not_its_own_parent check (parent_id <> id),
  constraint account_name_is_unique_below_its_parent unique nulls not distinct (parent_id, name)
);
create unique index there_is_one_root on tandem.account ((true)) where kind = 'root';
comment on table tandem.account is 'One node of the tenant tree: the root, resellers to any depth up to 8, customers.';
comment on column tandem.account.id is 'Key; acct:<id> in Redis.';
comment on column tandem.account.parent_id is 'Who bills this account; null for the root only.';
comment on column tandem.account.kind is 'root: billed by nobody; reseller: may have accounts below; customer: a leaf.';
comment on column tandem.account.status is 'active -> suspended -> active; closed is the end. Only active ones and those below active ones call.';
comment on column tandem.account.name is 'Unique among the accounts of one parent.';
comment on column tandem.account.contact_id is 'Where invoices and notices go.';
comment on column tandem.account.tariff_id is 'What the parent charges this account: a tariff of the parent, in the account''s currency.';
comment on column tandem.account.currency is 'What the account pays its parent in; the root''s is its book currency.';
comment on column tandem.account.timezone is 'For days and months of limits and invoices.';
comment on column tandem.account.language is 'For invoices and notices.';
comment on column tandem.account.routing is 'Sequence of {prefix, priority, cost, quality, weight}; empty = inherited.';
comment on column tandem.account.barred is 'E.164 prefixes that nobody in this subtree may call.';
comment on column tandem.account.share_children is 'Whether those above may see this account''s children (default: they may not).';
comment on column tandem.account.created_at is 'When the row was made.';

create table tandem.contact (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account,
  email      text not null constraint email_has_one_at check (email ~ '^[^@[:space:]]{1,64}@[^@[:space:]]{1,189}$'),
  name       text not null default '',
  address    text not null default '',
  phone      tandem.e164,
  created_at timestamptz not null default now()
);
comment on table tandem.contact is 'A person or company to write to; one contact may serve several accounts and peering groups.';
comment on column tandem.contact.id is 'Key.';
comment on column tandem.contact.account_id is 'Whose address book the contact stands in.';
comment on column tandem.contact.email is 'For invoices and notices; the only required field.';
comment on column tandem.contact.name is 'Person or company.';
comment on column tandem.contact.address is 'Postal address, lines as written.';
comment on column tandem.contact.phone is 'Number for people to call.';
comment on column tandem.contact.created_at is 'When the row was made.';
create index contact_by_account on tandem.contact(account_id);
alter table tandem.account add foreign key (contact_id) references tandem.contact;

create function tandem.chain(of_account bigint) returns table (account_id bigint, distance integer)
language sql stable
as $$
  with recursive up as (
    select a.id, a.parent_id, 0 as distance from tandem.account a where a.id = of_account
    union all
    select a.id, a.parent_id, up.distance + 1 from tandem.account a join up on a.id = up.parent_id where up.distance < 64
  )
  select id, distance from up
$$;
comment on function tandem.chain is 'The account (distance 0) and all above it, up to the root.';

create function tandem.is_self_or_above(upper_id bigint, of_account bigint) returns boolean
language sql stable
return exists (select from tandem.chain(of_account) as link where link.account_id = upper_id);
comment on function tandem.is_self_or_above is 'True when the first account is the second or one above it.';

-- Rules that need to look at other rows. The parent is locked so that two writers cannot pass each other.
create function tandem.check_account() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  parent tandem.account;
  height integer;
begin
  if tg_op = 'UPDATE' and (old.kind = 'root') <> (new.kind = 'root') then
    raise check_violation using message = format('account %s %L: no account becomes or ceases to be the root', old.id, old.name);
  end if;
  if tg_op = 'UPDATE' and old.status = 'closed' and new.status <> 'closed' then
    raise check_violation using message = format('account %s %L is closed for ever', old.id, old.name);
  elsif new.kind = 'root' then
    return new;
  end if;
  select * into parent from tandem.account where id = new.parent_id for share;
  if not found then
    raise foreign_key_violation using message = format('account %L: its parent %s does not exist', new.name, new.parent_id);
  elsif parent.kind = 'customer' then
    raise check_violation using message =
      format('account %L: its parent %s %L is a customer; only the root and resellers have accounts below them', new.name, parent.id, parent.name);
  elsif new.tariff_id is null then
    raise not_null_violation using message = format('account %L has no tariff: nobody could be billed for its calls', new.name);
  elsif not exists (select from tandem.tariff t where t.id = new.tariff_id and t.account_id = new.parent_id) then
    raise foreign_key_violation using message =
      format('account %L: tariff %s is no tariff of its parent %s %L', new.name, new.tariff_id, parent.id, parent.name);
  elsif not exists (select from tandem.tariff t where t.id = new.tariff_id and t.currency = new.currency) then
    raise check_violation using message =
      format('account %L pays in %s, but tariff %s has another currency', new.name, new.currency, new.tariff_id);
  elsif tg_op = 'UPDATE' and exists (select from tandem.chain(new.parent_id) as link where link.account_id = new.id) then
    raise check_violation using message = format('account %s %L cannot stand below itself', new.id, new.name);
  elsif tg_op = 'UPDATE' and new.kind = 'customer' and exists (select from tandem.account c where c.parent_id = new.id) then
    raise check_violation using message = format('account %s %L has accounts below it and cannot be a customer', new.id, new.name);
  end if;
  height := case when tg_op = 'UPDATE' then tandem.height(new.id) else 0 end;
  if (select max(distance) from tandem.chain(new.parent_id)) + 1 + height > 8 then
    raise check_violation using message = format('account %L: more than 8 levels below the root', new.name);  -- fund rows of one call
  end if;
  return new;
end $$;
comment on function tandem.check_account is 'Trigger: kind rules, tariff of the parent, no circles, at most 8 levels, closed is the end.';

create function tandem.height(of_account bigint) returns integer
language sql stable
as $$
  with recursive down as (
    select of_account as id, 0 as depth
    union all
    select a.id, down.depth + 1 from tandem.account a join down on a.parent_id = down.id where down.depth < 64
  )
  select max(depth) from down
$$;
comment on function tandem.height is 'How many levels stand below the account.';

create function tandem.lock_tree() returns trigger
language plpgsql
as $$
begin
  perform pg_advisory_xact_lock(hashtextextended('tandem.account.move', 0));
  return null;
end $$;
comment on function tandem.lock_tree is
  'Trigger: moves wait for each other, or two could close a circle; before any row is locked, or they could lock each other out.';
create trigger lock_tree before update of parent_id on tandem.account
  for each statement execute function tandem.lock_tree();

create trigger check_account before insert or update of parent_id, kind, tariff_id, currency, name, status on tandem.account
  for each row execute function tandem.check_account();

create function tandem.keep_root() returns trigger
language plpgsql
as $$
begin
  if tg_op = 'TRUNCATE' or old.kind = 'root' then
    raise check_violation using message = 'the root account cannot be deleted';
  end if;
  return old;
end $$;
comment on function tandem.keep_root is 'Trigger: a tree keeps its root.';
create trigger keep_root before delete on tandem.account for each row execute function tandem.keep_root();
create trigger keep_root_truncate before truncate on tandem.account for each statement execute function tandem.keep_root();

-- Who sees whom. Kept, not computed: policies ask it for every row.
create table tandem.visibility (
  viewer_id  bigint not null references tandem.account on delete cascade,
  account_id bigint not null references tandem.account on delete cascade,
  primary key (viewer_id, account_id)
);
comment on table tandem.visibility is
  'viewer sees account: itself, its children, and deeper while every account between shares. Kept by triggers. '
  'The root has no rows: it sees all by rule.';
comment on column tandem.visibility.viewer_id is 'Who looks.';
comment on column tandem.visibility.account_id is 'Whose rows are seen.';
create index visibility_by_account on tandem.visibility(account_id);

create function tandem.refresh_visibility(top_id bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with recursive below as (
    select top_id as id
    union all
    select a.id from tandem.account a join below on a.parent_id = below.id
  ), seen as (  -- climb from each account; the first step is always seen, each next one only through a sharing account
    select a.id as account_id, a.id as viewer_id, a.parent_id as next_id, true as goes_on
      from tandem.account a join below using (id)
    union all
    select seen.account_id, a.id, a.parent_id, a.share_children
      from seen join tandem.account a on a.id = seen.next_id
     where seen.goes_on
  ), wanted as (
    select s.viewer_id, s.account_id from seen s join tandem.account v on v.id = s.viewer_id where v.kind <> 'root'
  ), gone as (
    delete from tandem.visibility v
     where v.account_id in (select id from below)
       and not exists (select from wanted w where w.viewer_id = v.viewer_id and w.account_id = v.account_id)
  )
  insert into tandem.visibility(viewer_id, account_id) select viewer_id, account_id from wanted on conflict do nothing
$$;
comment on function tandem.refresh_visibility is 'Recompute who sees the account and all below it.';

create function tandem.keep_visibility() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform tandem.refresh_visibility(new.id);
  return null;
end $$;
comment on function tandem.keep_visibility is 'Trigger: visibility follows create, move and share.';
create trigger keep_visibility_created after insert on tandem.account
  for each row execute function tandem.keep_visibility();
create trigger keep_visibility_changed after update of parent_id, share_children on tandem.account
  for each row when (old.parent_id is distinct from new.parent_id or old.share_children <> new.share_children)
  execute function tandem.keep_visibility();
