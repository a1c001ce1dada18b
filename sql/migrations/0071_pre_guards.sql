-- What row policies cannot say about a tenant's changes, because it compares a row with what it was, or with what it names; and what
-- refusals tell it. Triggers that begin with admit_ come before all others of their table: nothing else has looked at other rows yet.
set local role tandem_owner;

create function tandem.acting_sees(of_account bigint) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer bigint;
begin
  if tandem.is_platform() then
    return true;
  end if;
  viewer := tandem.acting_account_v1();  -- asked here: a planner that estimates would ask it even where it is not needed
  return exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = of_account)
      or exists (select from tandem.account a where a.id = viewer and a.kind = 'root');
end $$;
comment on function tandem.acting_sees is
  'Whether who asks sees the account: for one row at a time, where tandem.visible_ids_v1 would name a hundred thousand.';

create function tandem.admit(of_account bigint, below boolean default false) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if not tandem.acting_sees(of_account) then
    raise foreign_key_violation using message = format('account %s does not exist', of_account);
  elsif below and not tandem.is_platform() and of_account = tandem.acting_account_v1() then
    raise insufficient_privilege using message = format('account %s: not for itself, only for accounts below it', of_account);
  end if;
end $$;
comment on function tandem.admit is
  'For functions with their owner''s rights: an error unless the acting account sees the account; below: and is not that account. The platform may all.';

create function tandem.demand(of_right text) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  acting tandem.account;
begin
  if not tandem.acting_may(of_right) then
    select * into acting from tandem.account a where a.id = (select tandem.acting_account_v1());
    raise insufficient_privilege using message = format('%s: not granted to account %s %L', of_right, acting.id, acting.name);
  end if;
end $$;
comment on function tandem.demand is 'An error that says so unless who asks has the right.';

create function tandem.admit_right() returns trigger
language plpgsql
as $$
begin
  perform tandem.demand(tg_argv[0]);
  return case when tg_level = 'ROW' then new end;
end $$;
comment on function tandem.admit_right is
  'Trigger(right): says which right is missing, before any row is looked at; the policies alone would refuse without a reason, or change nothing.';
do $$
declare
  wanted record;
begin
  for wanted in
    select t.name, r.right_name, r.verbs
      from (values ('accounts',     'insert',                     array['account']),
                   ('domains',      'insert or delete',           array['sip_domain']),
                   ('numbers',      'insert or delete',           array['number']),
                   ('money',        'insert or update',           array['fund']),
                   ('carriers_own', 'insert or update',           array['peering_group']),
                   ('carriers_own', 'insert or update or delete', array['peering_server', 'peering_rule', 'inbound_rule', 'hunt_rule']),
                   ('prices',       'insert or update or delete', array['tariff', 'tariff_deck', 'rate_set', 'rate', 'rate_class', 'rate_period',
                                                                        'rate_class_period', 'rate_field'])
           ) as r(right_name, verbs, names)
     cross join lateral unnest(r.names) as t(name)
  loop
    execute format('create trigger admit_right before %s on tandem.%I for each statement'
                   ' when (current_user = ''tandem_tenant'') execute function tandem.admit_right(%L)', wanted.verbs, wanted.name, wanted.right_name);
  end loop;
end $$;
-- Another name is as good as another row.
create trigger admit_renaming before update of name on tandem.sip_domain
  for each row when (current_user = 'tandem_tenant' and old.name <> new.name) execute function tandem.admit_right('domains');
create trigger admit_renaming before update of e164 on tandem.number
  for each row when (current_user = 'tandem_tenant' and old.e164 <> new.e164) execute function tandem.admit_right('numbers');

create function tandem.admit_account() returns trigger
language plpgsql
as $$
declare
  own      constant text[] := '{contact_id,own_barring_id,blocked_in,blocked_out,share_children,language}';
  routed   constant text[] := '{routing,carriers,loss_pct,attempts_max}';
  defaults constant jsonb := '{"routing": [], "carriers": "all", "loss_pct": 0, "attempts_max": 0}';
  changed  text[];
begin
  if tg_op = 'INSERT' or new.parent_id is distinct from old.parent_id then
    if not exists (select from tandem.account p where p.id = new.parent_id) then  -- as tandem.check_account says it
      raise foreign_key_violation using message = format('account %L: its parent %s does not exist', new.name, new.parent_id);
    end if;
  end if;
  changed := array(select n.key from jsonb_each(to_jsonb(new)) as n
                    where n.value is distinct from case when tg_op = 'UPDATE' then to_jsonb(old) else to_jsonb(new) || defaults end -> n.key
                    order by n.key);
  if new.id = tandem.acting_account_v1() and not changed <@ (own || routed) then
    raise insufficient_privilege using message = format('account %s %L does not change its own %s: those above it do', new.id, new.name,
      (select string_agg(replace(c, '_', ' '), ', ') from unnest(changed) as c where c <> all (own || routed)));
  elsif tg_op = 'UPDATE' and 'parent_id' = any (changed) then
    raise insufficient_privilege using message = format(
      'account %s %L comes below another by tandem.move_account_v1, which takes its balance along', new.id, new.name);
  elsif changed && routed then
    perform tandem.demand('routing');
  end if;
  return new;
end $$;
comment on function tandem.admit_account is
  'Trigger: of its own row an account changes only what is its own affair; routing wants the right; a parent is one that it sees, and stays.';
create trigger admit_account before insert or update on tandem.account
  for each row when (current_user = 'tandem_tenant') execute function tandem.admit_account();

create function tandem.admit_references() returns trigger
language plpgsql
as $$
declare
  news constant jsonb := to_jsonb(new);
  olds constant jsonb := case tg_op when 'UPDATE' then to_jsonb(old) else '{}' end;
  seen boolean;
begin
  for i in 0 .. tg_nargs - 1 by 2 loop
    if news -> tg_argv[i] <> 'null' and news -> tg_argv[i] is distinct from olds -> tg_argv[i] then
      execute format('select exists (select from tandem.%I t where t.id = $1)', tg_argv[i + 1]) into seen using (news ->> tg_argv[i])::bigint;
      if not seen then
        raise foreign_key_violation using message = format('%s %s does not exist', replace(tg_argv[i + 1], '_', ' '), news -> tg_argv[i]);
      end if;
    end if;
  end loop;
  return new;
end $$;
comment on function tandem.admit_references is
  'Trigger(column, table, …): what a tenant names anew it sees; what those above have set may stay.';
do $$
declare
  guarded record;
begin
  for guarded in
    select * from (values
      ('account',       'contact_id, barring_id, own_barring_id',
                        array['contact_id', 'contact', 'barring_id', 'barring_level', 'own_barring_id', 'barring_level']),
      ('sip_domain',    'rewrite_set_id', array['rewrite_set_id', 'rewrite_set']),
      ('subscriber',    'sip_domain_id, rewrite_set_id, barring_id, own_barring_id',
                        array['sip_domain_id', 'sip_domain', 'rewrite_set_id', 'rewrite_set', 'barring_id', 'barring_level',
                              'own_barring_id', 'barring_level']),
      ('barring_level', 'time_set_id', array['time_set_id', 'time_set']),
      ('peering_group', 'contact_id, rewrite_set_id', array['contact_id', 'contact', 'rewrite_set_id', 'rewrite_set']),
      ('peering_server', 'rewrite_set_id', array['rewrite_set_id', 'rewrite_set']),
      ('peering_rule',  'time_set_id', array['time_set_id', 'time_set'])
    ) as g(of_table, columns, arguments)
  loop
    execute format('create trigger admit_references before insert or update of %s on tandem.%I for each row'
                   ' when (current_user = ''tandem_tenant'') execute function tandem.admit_references(%s)',
      guarded.columns, guarded.of_table, (select string_agg(quote_literal(a), ', ' order by n) from unnest(guarded.arguments) with ordinality as u(a, n)));
  end loop;
end $$;

-- Refusals that name whose the other row is name it to the platform alone.

create or replace function tandem.check_trusted_source() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  other tandem.trusted_source;
begin
  select * into other from tandem.trusted_source t
   where t.network = new.network and t.transport = new.transport and t.from_pattern = new.from_pattern and t.id <> new.id;
  if found and not tandem.is_platform() then
    raise unique_violation using message = format('trusted source: network %s, transport %L and From pattern %L are not available together',
      new.network, new.transport, new.from_pattern);
  elsif found then
    raise unique_violation using message = format(
      'trusted source of subscriber %s ties with trusted source %s of subscriber %s: same network %s, transport %L and From pattern %L',
      new.subscriber_id, other.id, other.subscriber_id, new.network, new.transport, new.from_pattern);
  end if;
  return new;
end $$;

create or replace function tandem.refuse_shared_network(of_group bigint, of_server bigint, called text, networks cidr[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  taken record;
begin
  perform pg_advisory_xact_lock(hashtextextended('tandem.peering_server', 0));  -- arrays have no unique index
  select s.id, s.name, g.name as group_name, theirs as network into taken
    from tandem.peering_server s
    join tandem.peering_group g on g.id = s.group_id
    cross join tandem.networks_of_server(s.id, s.address, s.aliases) as theirs
   where s.group_id <> of_group and s.id <> of_server and theirs = any (networks)
   limit 1;
  if found and not tandem.is_platform() then
    raise unique_violation using message = format('server %L: %s is not available; an address belongs to one group only', called, taken.network);
  elsif found then
    raise unique_violation using message = format('server %L: %s belongs to server %s %L of group %L already; an address belongs to one group only',
      called, taken.network, taken.id, taken.name, taken.group_name);
  end if;
end $$;

create or replace function tandem.check_reach() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  row_values jsonb := to_jsonb(new);
  used_id    bigint := (row_values ->> tg_argv[0])::bigint;
  user_id    bigint;
  owner_id   bigint;
begin
  if used_id is null then
    return new;
  end if;
  user_id := (row_values ->> case tg_table_name when 'account' then 'id' else 'account_id' end)::bigint;
  if user_id is null then  -- a server's account is its group's
    select g.account_id into user_id from tandem.peering_group g where g.id = (row_values ->> 'group_id')::bigint;
  end if;
  owner_id := tandem.owner_of(tg_argv[1], used_id);
  if owner_id is distinct from user_id and owner_id is not null and not tandem.is_self_or_above(owner_id, user_id) then
    raise check_violation using message = case
      when tandem.is_platform() then format('%s %s belongs to account %s, which is not account %s nor above it',
                                            replace(tg_argv[1], '_', ' '), used_id, owner_id, user_id)
      else format('%s %s is neither of account %s nor of one above it', replace(tg_argv[1], '_', ' '), used_id, user_id) end;
  end if;
  return new;
end $$;

create or replace function tandem.check_move() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  torn record;
begin
  with recursive below as (
    select new.id as id
    union all
    select a.id from tandem.account a join below on a.parent_id = below.id
  )
  select b.* into torn from below join tandem.borrowed() b on b.user_id = below.id
   where not tandem.is_self_or_above(b.owner_id, b.user_id) limit 1;
  if found and not tandem.is_platform() then
    raise check_violation using message = format(
      'account %s %L cannot move: it, or an account below it, uses a domain, rewrite set, time set or barring level of an account that would no longer be above it',
      new.id, new.name);
  elsif found then
    raise check_violation using message = format(
      'account %s %L cannot move: the %s of its %s belongs to account %s, which would no longer be above it',
      new.id, new.name, torn.used, torn.what, torn.owner_id);
  end if;
  return null;
end $$;

-- Whether a description of a world has the password that is stored already is all that anybody needs to know of it.
create function tandem.is_password_v1(kind text, id bigint, ha1 text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  case kind
    when 'subscriber' then
      return exists (select from tandem.subscriber s
                      where s.id = is_password_v1.id and ha1 in (s.ha1_md5, s.ha1_sha256) and tandem.acting_sees(s.account_id));
    when 'server' then
      return exists (select from tandem.peering_server p join tandem.peering_group g on g.id = p.group_id
                      where p.id = is_password_v1.id and p.login_ha1 = ha1 and tandem.acting_sees(g.account_id));
  end case;
end $$;
comment on function tandem.is_password_v1 is
  'Whether a subscriber (either hash) or a server has this HA1; false where the acting account does not see it. kind: subscriber, server.';

revoke execute on function tandem.acting_sees(bigint), tandem.admit(bigint, boolean), tandem.demand(text), tandem.is_password_v1(text, bigint, text) from public;
grant execute on function tandem.acting_sees(bigint), tandem.demand(text), tandem.is_password_v1(text, bigint, text) to tandem_tool, tandem_tenant;
