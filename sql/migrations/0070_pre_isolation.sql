-- Tenants see their own rows and no others. Row policies on every table, forced on who belongs to its owner too; tandem_tenant is
-- whoever acts as an account that is not the root. Who bypasses them says so: sync, settle and the owner, which work for everybody.

do $$
declare
  wanted record;
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'tandem_tenant') then
    begin
      create role tandem_tenant nologin;
    exception when duplicate_object or unique_violation then
      null;  -- another database of this cluster is migrated at the same moment
    end;
  end if;
  for wanted in
    select r.rolname, w.attribute
      from (values ('tandem_tool', 'noinherit'),  -- what binds a tenant does not bind the operators, who only become one by set role
                   ('tandem_settle', 'bypassrls'),  -- it posts by COPY, which no policy allows, not even `true`
                   ('tandem_owner', 'bypassrls')  -- triggers and functions of sessions with row_security = off, as that of sync
           ) as w(name, attribute)
      join pg_catalog.pg_roles r on r.rolname = w.name
     where case w.attribute when 'noinherit' then r.rolinherit else not r.rolbypassrls end
  loop
    begin
      execute format('alter role %I %s', wanted.rolname, wanted.attribute);
    exception when insufficient_privilege then
      raise insufficient_privilege using message =
        format('only a superuser may say this, before this release is installed: alter role %s %s', wanted.rolname, wanted.attribute);
    end;
  end loop;
  if not pg_catalog.pg_has_role('tandem_tool', 'tandem_tenant', 'member') then
    grant tandem_tenant to tandem_tool;
  end if;
end $$;

set local role tandem_owner;

-- Policies name these two, whose files come after all migrations; they are written there.
do $$
begin
  if to_regprocedure('tandem.visible_ids_v1()') is null then
    create function tandem.acting_account_v1() returns bigint language sql stable return null::bigint;
    create function tandem.visible_ids_v1() returns bigint[] language sql stable return null::bigint[];
  end if;
end $$;

-- What policies ask once in a statement, as `column = any ((select f())::bigint[])`: such a condition uses an index.

create function tandem.opened_ids() returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
begin
  if exists (select from tandem.account a where a.id = viewer and a.kind = 'root') then
    return array(select a.id from tandem.account a where a.kind <> 'customer' order by a.id);
  end if;
  return array(
    select viewer
    union all
    select a.id from tandem.account a
      join tandem.visibility v on v.account_id = a.id and v.viewer_id = viewer
     where a.share_children and a.kind <> 'customer' and a.id <> viewer
     order by 1);
end $$;
comment on function tandem.opened_ids is
  'Accounts whose children the acting account sees: itself, and those that it sees and that share. Fewer by far than what it sees.';
create index account_that_shares on tandem.account(id) where share_children and kind <> 'customer';
-- The planner is to expect few children of each of some parents: else it looks for a page of accounts by reading all of them in order.
alter table tandem.account alter column parent_id set (n_distinct = -0.9);

create function tandem.above_ids() returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select link.account_id from tandem.chain(tandem.acting_account_v1()) as link where link.distance > 0 order by 1);
end $$;
comment on function tandem.above_ids is 'Accounts above the acting one; what of theirs it may know is said where this is asked.';

create function tandem.own_tariff_id() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return (select a.tariff_id from tandem.account a where a.id = (select tandem.acting_account_v1()));
end $$;
comment on function tandem.own_tariff_id is
  'The tariff of the acting account: its parent''s, and the only one that it reads and does not see the owner of. Null: the root''s.';

-- As joins, so that the planner begins with the few: what one sees, or what uses the set.
create function tandem.lent_ids(of_table text) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
  above  constant bigint[] := tandem.above_ids();
  levels bigint[];
begin
  case of_table
    when 'rewrite_set' then
      return array(
        select w.id from tandem.rewrite_set w
         where w.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                         where v.viewer_id = viewer and s.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.sip_domain d on d.account_id = v.account_id
                            where v.viewer_id = viewer and d.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.peering_group g on g.account_id = v.account_id
                            where v.viewer_id = viewer and g.rewrite_set_id = w.id)
                or exists (select from tandem.visibility v join tandem.peering_group g on g.account_id = v.account_id
                             join tandem.peering_server p on p.group_id = g.id
                            where v.viewer_id = viewer and p.rewrite_set_id = w.id)));
    when 'barring_level' then
      return array(
        select b.id from tandem.barring_level b
         where b.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                         where v.viewer_id = viewer and s.barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.subscriber s on s.account_id = v.account_id
                            where v.viewer_id = viewer and s.own_barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.account a on a.id = v.account_id
                            where v.viewer_id = viewer and a.barring_id = b.id)
                or exists (select from tandem.visibility v join tandem.account a on a.id = v.account_id
                            where v.viewer_id = viewer and a.own_barring_id = b.id)));
    when 'time_set' then
      levels := tandem.lent_ids('barring_level');
      return array(
        select t.id from tandem.time_set t
         where t.account_id = any (above)
           and (exists (select from tandem.visibility v join tandem.peering_rule r on r.account_id = v.account_id
                         where v.viewer_id = viewer and r.time_set_id = t.id)
                or exists (select from tandem.visibility v join tandem.barring_level b on b.account_id = v.account_id
                            where v.viewer_id = viewer and b.time_set_id = t.id)
                or exists (select from tandem.barring_level b where b.time_set_id = t.id and b.id = any (levels))));
  end case;
end $$;
comment on function tandem.lent_ids is
  'Rewrite sets, barring levels or time sets of accounts above the acting one that accounts which it sees use, with all that is theirs.';
create index subscriber_by_rewrite_set on tandem.subscriber(rewrite_set_id, account_id) where rewrite_set_id is not null;
create index subscriber_by_barring on tandem.subscriber(barring_id, account_id) where barring_id is not null;
create index subscriber_by_own_barring on tandem.subscriber(own_barring_id, account_id) where own_barring_id is not null;
create index sip_domain_by_rewrite_set on tandem.sip_domain(rewrite_set_id, account_id) where rewrite_set_id is not null;
create index peering_group_by_rewrite_set on tandem.peering_group(rewrite_set_id, account_id) where rewrite_set_id is not null;
create index peering_server_by_rewrite_set on tandem.peering_server(rewrite_set_id) where rewrite_set_id is not null;
create index account_by_barring on tandem.account(barring_id, id) where barring_id is not null;
create index account_by_own_barring on tandem.account(own_barring_id, id) where own_barring_id is not null;
create index barring_level_by_time_set on tandem.barring_level(time_set_id, account_id) where time_set_id is not null;

-- Lists by name. `name ^@ 'Al'` may use an index below a policy, LIKE may not: it is not leakproof.
create index account_by_name on tandem.account(name text_pattern_ops);
create index sip_domain_by_name on tandem.sip_domain(name text_pattern_ops);
create index subscriber_by_username on tandem.subscriber(username text_pattern_ops);
create index contact_by_email on tandem.contact(email text_pattern_ops);
create index number_by_digits on tandem.number(e164 text_pattern_ops);

create function tandem.sees_line(of_subscriber bigint) returns boolean
language plpgsql stable security definer cost 1000 set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
  owner  constant bigint := (select s.account_id from tandem.subscriber s where s.id = of_subscriber);
begin
  return exists (select from tandem.visibility v where v.viewer_id = viewer and v.account_id = owner)
      or exists (select from tandem.account a where a.id = viewer and a.kind = 'root');
end $$;
comment on function tandem.sees_line is
  'Whether the acting account sees the account of a line. For what belongs to lines: who sees 90000 accounts would compare each line with all of them.';

create function tandem.names_carrier(of_servers bigint[]) returns bigint[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select s.id from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id
     where s.id = any (of_servers)
       and (tandem.is_platform() or g.account_id = any (tandem.visible_ids_v1())
            or tandem.acting_may('carriers_seen') and g.account_id = any (tandem.above_ids()))
     order by 1);
end $$;
comment on function tandem.names_carrier is
  'Those of these servers whose group the acting account reads, if only by its name: a record names servers that it does not read itself.';

-- Whoever gets an account, and with it all below, is not told what was before: the former parent's prices stand in it.
create table tandem.account_move (
  account_id bigint primary key references tandem.account on delete cascade,
  moved_at   timestamptz not null
);
comment on table tandem.account_move is 'Since when an account that has moved is below its present parent. Who never moved is not here.';
comment on column tandem.account_move.account_id is 'The account at the top of what moved.';
comment on column tandem.account_move.moved_at is 'When it last moved; what is posted by then is told to no account above it.';
grant select on tandem.account_move to tandem_tool, tandem_sync;

create function tandem.note_move() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into tandem.account_move(account_id, moved_at) values (new.id, clock_timestamp())  -- its row is locked: who posted has posted
  on conflict (account_id) do update set moved_at = excluded.moved_at;
  return null;
end $$;
comment on function tandem.note_move is 'Trigger: since when an account is below its parent.';
create trigger note_move after update of parent_id on tandem.account
  for each row when (old.parent_id is distinct from new.parent_id) execute function tandem.note_move();

-- One object for the whole statement: asked row by row, a climb for each entry would cost more than reading it.
create function tandem.known_since() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
begin
  return (
    with recursive moved as (
      select m.account_id, m.moved_at
        from tandem.account_move m
        join tandem.visibility v on v.viewer_id = viewer and v.account_id = m.account_id
       where m.account_id <> viewer
      union
      select a.id, m.moved_at
        from moved m
        join tandem.account a on a.parent_id = m.account_id
        join tandem.visibility v on v.viewer_id = viewer and v.account_id = a.id
    )
    select coalesce(jsonb_object_agg(l.account_id, l.moved_at), '{}')
      from (select m.account_id, max(m.moved_at) as moved_at from moved m group by m.account_id) as l);
end $$;
comment on function tandem.known_since is
  'Account id -> since when its money is told to the acting account: the last move of it, or of one between. Who is not in it: always.';

create function tandem.isolate(of_table text, sees text default null, keeps text default null, needs text default null) returns void
language plpgsql
as $$
declare
  visible constant text := 'any ((select tandem.visible_ids_v1())::bigint[])';
  acting  constant text := '(select tandem.acting_account_v1())';
  shown   constant text := replace(replace(replace(sees, '{visible}', visible), '{acting}', acting), '{row}', of_table);
  granted constant text := case when needs is null then '' else format('(select tandem.acting_may(%L)) and ', needs) end;
  kept    constant text := granted || '(' || replace(replace(replace(keeps, '{visible}', visible), '{acting}', acting), '{row}', of_table) || ')';
  verb    record;
begin
  execute format('alter table tandem.%I enable row level security, force row level security', of_table);
  execute format('create policy platform on tandem.%I to tandem_owner, tandem_tool using (true) with check (true)', of_table);
  if shown is null then
    return;
  end if;
  execute format('grant select on tandem.%I to tandem_tenant', of_table);
  execute format('create policy sees on tandem.%I for select to tandem_tenant using (%s)', of_table, shown);
  for verb in
    select * from (values ('adds', 'insert', 'with check'), ('changes', 'update', 'using'), ('removes', 'delete', 'using'))
                    as v(policy, name, clause)
     where kept is not null and has_table_privilege('tandem_tool', format('tandem.%I', of_table), v.name)
  loop
    execute format('grant %s on tandem.%I to tandem_tenant', verb.name, of_table);
    execute format('create policy %I on tandem.%I for %s to tandem_tenant %s (%s)', verb.policy, of_table, verb.name, verb.clause, kept);
  end loop;
end $$;
comment on function tandem.isolate is
  'Give a table its row policies and tandem_tenant its grants. sees, keeps: which rows it reads and writes, conditions in which {visible} is '
  'any of the ids that the acting account sees, {acting} its own and {row} the table''s name; null: none. needs: the right that writing wants. '
  'Nobody but tandem_tool may what that may not: no policy and no grant for such a verb.';

grant usage on schema tandem to tandem_tenant;

-- Of the platform alone.
select tandem.isolate(of_table) from unnest(array[
  'migration', 'visibility', 'outbox', 'sync_applied', 'sync_state', 'generation', 'epoch', 'node', 'posting', 'recovery', 'recovery_step',
  'event_poison', 'event_dropped', 'ledger_unbalanced', 'rate_set_unused', 'ported_number', 'emergency_route',
  'account_move',
  'cdr', 'cdr_attempt'  -- they name lines, carriers and accounts of others; what a tenant may know of a call it is told by functions
]) as of_table;

-- Said to everybody, written by the platform.
select tandem.isolate(of_table, sees => '{acting} is not null')
  from unnest(array['currency', 'exchange_rate', 'destination', 'horizon']) as of_table;

-- An account's own.
select tandem.isolate(of_table, sees => 'account_id = {visible}', keeps => 'account_id = {visible}')
  from unnest(array['contact', 'subscriber', 'reply_override']) as of_table;
-- One that locks is set from above, as a lock is.
select tandem.isolate('threshold', sees => 'account_id = {visible}',
                      keeps => 'account_id = {visible} and (lock is null or account_id <> {acting})');
select tandem.isolate(of_table, sees => 'account_id = {visible}')
  from unnest(array['fund_credit', 'fund_charge', 'fund_calendar', 'fund_window', 'fund_loss', 'alert']) as of_table;
select tandem.isolate('threshold_state', sees => 'exists (select from tandem.threshold t where t.id = {row}.threshold_id)');

-- An account is visible by its parent, as tandem.keep_visibility has it: the new row of a statement too, of which nothing is kept yet.
select tandem.isolate('account', sees => 'id = {acting} or parent_id = any ((select tandem.opened_ids())::bigint[])');
grant insert, update on tandem.account to tandem_tenant;
create policy adds on tandem.account for insert to tandem_tenant
  with check ((select tandem.acting_may('accounts')) and parent_id = any ((select tandem.opened_ids())::bigint[]));
create policy changes on tandem.account for update to tandem_tenant
  using (id = (select tandem.acting_account_v1()) or parent_id = any ((select tandem.opened_ids())::bigint[]));
select tandem.isolate('account_grant', sees => 'account_id = {visible}', keeps => 'account_id = {visible} and account_id <> {acting}');
select tandem.isolate('fund', sees => 'account_id = {visible}', keeps => 'account_id = {visible} and account_id <> {acting}', needs => 'money');

-- A domain is public: that of an account above, in which lines may be, is seen by its name.
select tandem.isolate('sip_domain', sees => 'account_id = {visible} or account_id = any ((select tandem.above_ids())::bigint[])');
grant insert, update, delete on tandem.sip_domain to tandem_tenant;
create policy adds on tandem.sip_domain for insert to tandem_tenant
  with check ((select tandem.acting_may('domains')) and account_id = any ((select tandem.visible_ids_v1())::bigint[]));
create policy changes on tandem.sip_domain for update to tandem_tenant using (account_id = any ((select tandem.visible_ids_v1())::bigint[]));
create policy removes on tandem.sip_domain for delete to tandem_tenant
  using ((select tandem.acting_may('domains')) and account_id = any ((select tandem.visible_ids_v1())::bigint[]));
select tandem.isolate('number', sees => 'account_id = {visible}');
grant insert, update, delete on tandem.number to tandem_tenant;
create policy adds on tandem.number for insert to tandem_tenant
  with check ((select tandem.acting_may('numbers')) and account_id = any ((select tandem.visible_ids_v1())::bigint[]));
create policy changes on tandem.number for update to tandem_tenant using (account_id = any ((select tandem.visible_ids_v1())::bigint[]));
create policy removes on tandem.number for delete to tandem_tenant
  using ((select tandem.acting_may('numbers')) and account_id = any ((select tandem.visible_ids_v1())::bigint[]));

-- What accounts above lend: read by who uses it, written by its owner and those who see that one.
select tandem.isolate(of_table, keeps => 'account_id = {visible}',
                      sees => format('account_id = {visible} or id = any ((select tandem.lent_ids(%L))::bigint[])', of_table))
  from unnest(array['rewrite_set', 'time_set', 'barring_level']) as of_table;
select tandem.isolate(part, sees => format('exists (select from tandem.%I w where w.id = {row}.%I)', whole, whole || '_id'),
                      keeps => format('exists (select from tandem.%I w where w.id = {row}.%I and w.account_id = {visible})', whole, whole || '_id'))
  from (values ('rewrite_rule', 'rewrite_set'), ('time_set_span', 'time_set'), ('time_set_day', 'time_set'),
               ('barring_rule', 'barring_level')) as p(part, whole);
select tandem.isolate('trusted_source', sees => 'tandem.sees_line(subscriber_id)', keeps => 'tandem.sees_line(subscriber_id)');

-- Prices: an account reads its own tariff too, which is its parent's.
select tandem.isolate('tariff', sees => 'account_id = {visible} or id = (select tandem.own_tariff_id())', keeps => 'account_id = {visible}',
                      needs => 'prices');
-- Of its own tariff it reads what is ready, not what its parent has in hand.
select tandem.isolate(of_table, needs => 'prices', keeps => whose || ' and tariff_id is distinct from (select tandem.own_tariff_id())',
                      sees => whose || case of_table when 'rate_set' then
                        ' and (state = ''ready'' or tariff_id is distinct from (select tandem.own_tariff_id()))' else '' end)
  from unnest(array['tariff_deck', 'rate_set']) as of_table,
       (values ('exists (select from tandem.tariff t where t.id = {row}.tariff_id)')) as w(whose);
select tandem.isolate(of_table, needs => 'prices', sees => 'exists (select from tandem.rate_set s where s.id = {row}.rate_set_id)',
  keeps => 'exists (select from tandem.rate_set s where s.id = {row}.rate_set_id and s.tariff_id is distinct from (select tandem.own_tariff_id()))')
  from unnest(array['rate', 'rate_class', 'rate_period', 'rate_class_period', 'rate_field']) as of_table;

-- Carriers: of those above at most the group, and that by grant. Each condition below it says itself whose the group is.
select tandem.isolate('peering_group', keeps => 'account_id = {visible}', needs => 'carriers_own',
  sees => 'account_id = {visible} or (select tandem.acting_may(''carriers_seen'')) and account_id = any ((select tandem.above_ids())::bigint[])');
select tandem.isolate('peering_rule', sees => 'account_id = {visible}', keeps => 'account_id = {visible}', needs => 'carriers_own');
select tandem.isolate(of_table, needs => 'carriers_own', sees => whose, keeps => case when is_kept then whose end)
  from (values ('peering_server', true), ('inbound_rule', true), ('carrier_owed', false), ('carrier_state', false)) as c(of_table, is_kept),
       (values ('exists (select from tandem.peering_group g where g.id = {row}.group_id and g.account_id = {visible})')) as w(whose);
select tandem.isolate(of_table, needs => 'carriers_own', sees => whose, keeps => case when is_kept then whose end)
  from (values ('hunt_rule', true), ('peering_server_address', false), ('peering_server_lookup', false),
               ('server_quality', false), ('server_calls', false)) as c(of_table, is_kept),
       (values ('exists (select from tandem.peering_server p where p.id = {row}.server_id)')) as w(whose);

-- Money: what accounts below have with their parents, as long as these are it, and all books of one's own.
alter table tandem.ledger_entry add column acting_account_id bigint;
alter table tandem.ledger_entry
  alter column acting_account_id set default nullif(current_setting('tandem.acting_account', true), '')::bigint;
comment on column tandem.ledger_entry.acting_account_id is
  'Account that the actor acted for; null = none was set, or the entry is older than this column.';
select tandem.isolate('ledger_entry', sees =>
  'account_id = {acting} or book = ''fund'' and account_id = {visible}'
  ' and posted_at >= coalesce(((select tandem.known_since()) ->> account_id::text)::timestamptz, ''-infinity'')');
-- A call's leg: what one pays, what one is paid, and what is paid between two that one sees. After a move the former parent keeps
-- what it was paid, and the new one does not learn it.
select tandem.isolate('cdr_leg', sees =>
  'payer_id = {acting} or book = ''fund'' and (payee_id = {acting} or payer_id = {visible} and payee_id = {visible})');
select tandem.isolate('audit', sees => 'account_id = {visible}');

-- Secrets are written and never read: a statement names its columns. Who acted is told by the view that knows whom to tell.
do $$
declare
  hidden record;
begin
  for hidden in
    select h.of_table, string_agg(quote_ident(a.attname), ', ' order by a.attnum) as others
      from (values ('subscriber', '{ha1_md5,ha1_sha256}'::name[]), ('peering_server', '{login_ha1}'), ('audit', '{actor,acting_account_id}'),
                   ('ledger_entry', '{actor,acting_account_id}'))
             as h(of_table, columns)
      join pg_attribute a on a.attrelid = format('tandem.%I', h.of_table)::regclass and a.attnum > 0 and not a.attisdropped
                         and a.attname <> all (h.columns)
     group by h.of_table
  loop
    execute format('revoke select on tandem.%I from tandem_tenant', hidden.of_table);
    execute format('grant select (%s) on tandem.%I to tandem_tenant', hidden.others, hidden.of_table);
  end loop;
end $$;

-- Functions that run with the owner's rights are nobody's by default: each is granted to whom it is for. Those that only read
-- what is asked of them, read it with the asker's rights.
alter function tandem.price_classes(bigint) security invoker;
alter function tandem.foundation(bigint) security invoker;
do $$
declare
  definer regprocedure;
begin
  for definer in select p.oid from pg_proc p where p.pronamespace = 'tandem'::regnamespace and p.prosecdef loop
    execute format('revoke execute on function %s from public', definer);
  end loop;
end $$;
grant execute on function tandem.has_right(bigint, text) to tandem_tool, tandem_settle, tandem_sync;
grant execute on function tandem.acting_may(text), tandem.is_platform() to tandem_tool, tandem_tenant, tandem_settle, tandem_sync;
grant execute on function tandem.opened_ids(), tandem.above_ids(), tandem.own_tariff_id(), tandem.lent_ids(text), tandem.sees_line(bigint),
  tandem.names_carrier(bigint[]), tandem.known_since() to tandem_tool, tandem_tenant;
