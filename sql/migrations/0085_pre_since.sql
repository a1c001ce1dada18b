-- Who comes to see an account is told what happens to it from then on; and carriers above are known by their name alone.
set local role tandem_owner;

-- Since when

alter table tandem.visibility add column since timestamptz;
comment on column tandem.visibility.since is
  'Since when the account is seen without a break, where it was somewhere else before: by a move of it, or of one between; null = always.';
create index visibility_with_a_beginning on tandem.visibility(viewer_id) where since is not null;

-- One that moves between two parents whose children somebody sees stays where it is for that one: its row stays.
create or replace function tandem.refresh_visibility(top_id bigint) returns void
language sql security definer set search_path = pg_catalog, pg_temp
as $$
  with recursive below as (
    select top_id as id
    union all
    select a.id from tandem.account a join below on a.parent_id = below.id
  ), seen as (  -- climb from each account; the first step is always seen, each next one only through a sharing account
    select a.id as account_id, a.id as viewer_id, a.parent_id as next_id, true as goes_on, null::timestamptz as since,
           (select m.moved_at from tandem.account_move m where m.account_id = a.id) as came_at
      from tandem.account a join below using (id)
    union all
    select seen.account_id, a.id, a.parent_id, a.share_children, greatest(seen.since, seen.came_at),
           (select m.moved_at from tandem.account_move m where m.account_id = a.id)
      from seen join tandem.account a on a.id = seen.next_id
     where seen.goes_on
  ), wanted as (
    select s.viewer_id, s.account_id, s.since from seen s join tandem.account v on v.id = s.viewer_id where v.kind <> 'root'
  ), gone as (
    delete from tandem.visibility v
     where v.account_id in (select id from below)
       and not exists (select from wanted w where w.viewer_id = v.viewer_id and w.account_id = v.account_id)
  )
  insert into tandem.visibility(viewer_id, account_id, since) select viewer_id, account_id, since from wanted on conflict do nothing
$$;

drop trigger note_move on tandem.account;
drop function tandem.note_move();
create or replace function tandem.keep_visibility() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer tandem.account := new;
begin
  if tg_op = 'UPDATE' then
    if old.parent_id is distinct from new.parent_id then
      insert into tandem.account_move(account_id, moved_at) values (new.id, clock_timestamp())  -- its row is locked: who posted has posted
      on conflict (account_id) do update set moved_at = excluded.moved_at;
    end if;
    perform tandem.refresh_visibility(new.id);
    return null;
  end if;
  while viewer.kind <> 'root' loop
    insert into tandem.visibility(viewer_id, account_id) values (viewer.id, new.id) on conflict do nothing;
    exit when viewer.id <> new.id and not viewer.share_children;
    select a.* into viewer from tandem.account a where a.id = viewer.parent_id;
  end loop;
  return null;
end $$;
comment on function tandem.keep_visibility is 'Trigger: visibility follows create, move and share, and a move is noted.';
comment on column tandem.account_move.moved_at is
  'When it last moved; what happened by then is told to no account above it that did not see it then.';

-- Who has moved before this release: whether somebody saw it all the time is not known any more.
with recursive climb as (
  select m.account_id, a.parent_id as next_id, m.moved_at from tandem.account_move m join tandem.account a on a.id = m.account_id
), below as (
  select c.account_id, c.account_id as moved_id, c.moved_at from climb c
  union all
  select a.id, b.moved_id, b.moved_at from below b join tandem.account a on a.parent_id = b.account_id
), upwards as (
  select v.viewer_id, b.account_id, max(b.moved_at) as since
    from below b
    join tandem.visibility v on v.account_id = b.account_id and v.viewer_id <> b.account_id
   where exists (select from tandem.chain(b.moved_id) as link where link.account_id = v.viewer_id and link.distance > 0)
   group by v.viewer_id, b.account_id
)
update tandem.visibility v set since = u.since from upwards u where u.viewer_id = v.viewer_id and u.account_id = v.account_id;

create or replace function tandem.known_since() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer constant bigint := tandem.acting_account_v1();
begin
  return (select coalesce(jsonb_object_agg(v.account_id, v.since), '{}')
            from tandem.visibility v where v.viewer_id = viewer and v.since is not null);
end $$;
comment on function tandem.known_since is
  'Account id -> since when what happens to it is told to the acting account, where that came to see it by a move. Who is not in it: always.';

create function tandem.acting_saw(of_account bigint, at timestamptz) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer bigint;
begin
  if tandem.is_platform() then
    return true;
  end if;
  viewer := tandem.acting_account_v1();
  return exists (select from tandem.visibility v
                  where v.viewer_id = viewer and v.account_id = of_account and (v.since is null or v.since <= coalesce(at, 'infinity')))
      or exists (select from tandem.account a where a.id = viewer and a.kind = 'root');
end $$;
comment on function tandem.acting_saw is
  'Whether who asks sees the account, and is told what happened to it at that time; null = now. For one row at a time, as tandem.acting_sees.';

create function tandem.is_window_since(of_account bigint, window_id integer, since timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return (select window_id > case when window_id < 1000000 then to_char(since at time zone a.timezone, 'YYYYMM')::integer
                                else to_char(since at time zone a.timezone, 'YYYYMMDD')::integer end
          from tandem.account a where a.id = of_account and tandem.acting_sees(a.id));
comment on function tandem.is_window_since is
  'Whether a day (20261122) or month (202611) of the account''s clock began after a moment: one that had begun tells of the time before.';

do $$
declare
  visible constant text := 'account_id = any ((select tandem.visible_ids_v1())::bigint[])';
  since   constant text := '((select tandem.known_since()) ->> account_id::text)::timestamptz';
  told    record;
begin
  for told in
    select * from (values ('alert', 'at'), ('audit', 'at'), ('fund_loss', 'created_at'), ('import_file', 'created_at')) as t(name, at)
  loop
    execute format('alter policy sees on tandem.%I using (%s and %I >= coalesce(%s, ''-infinity''))', told.name, visible, told.at, since);
  end loop;
  execute format('alter policy sees on tandem.fund_window using (%s and case when (select tandem.known_since()) ? account_id::text'
                 ' then tandem.is_window_since(account_id, window_id, %s) else true end)', visible, since);
  execute format('alter policy sees on tandem.fund_calendar using (%s and case when opening_version > 0 and (select tandem.known_since()) ? account_id::text'
                 ' then tandem.is_window_since(account_id, opening_month_id, %s) else true end)', visible, since);
  execute format('alter policy sees on tandem.cdr_leg using (payer_id = (select tandem.acting_account_v1()) or book = ''fund'' and ('
                 'payee_id = (select tandem.acting_account_v1()) or payer_id = %1$s and payee_id = %1$s'
                 ' and created_at >= greatest(coalesce(%2$s, ''-infinity''), coalesce(%3$s, ''-infinity''))))',
                 'any ((select tandem.visible_ids_v1())::bigint[])',
                 replace(since, 'account_id', 'payer_id'), replace(since, 'account_id', 'payee_id'));
end $$;

create or replace function tandem.audit_actor(of_entry bigint) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  entry record;
begin
  select a.actor, a.acting_account_id, a.account_id, a.at into entry from tandem.audit a where a.id = of_entry;
  if tandem.is_platform() then
    return entry.actor;
  elsif not tandem.acting_saw(entry.account_id, entry.at) then
    return null;
  elsif tandem.acting_sees(entry.acting_account_id) or entry.actor ~ '^threshold [0-9]+$' then
    return entry.actor;
  end if;
  return '';
end $$;

create function tandem.audit_acting(of_entry bigint) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  entry record;
begin
  select a.acting_account_id, a.account_id, a.at into entry from tandem.audit a where a.id = of_entry;
  return case when tandem.is_platform()
                or tandem.acting_saw(entry.account_id, entry.at) and tandem.acting_sees(entry.acting_account_id) then entry.acting_account_id end;
end $$;
comment on function tandem.audit_acting is 'For which account a change was made; null where the reader does not see that one, or it is not known.';

create or replace function tandem.ledger_actor(of_entry uuid) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  entry record;
begin
  select e.actor, e.acting_account_id, e.account_id, e.posted_at into entry from tandem.ledger_entry e where e.id = of_entry;
  if tandem.is_platform() then
    return entry.actor;
  elsif not tandem.acting_saw(entry.account_id, entry.posted_at) then
    return null;
  elsif tandem.acting_sees(entry.acting_account_id) then
    return entry.actor;
  end if;
  return '';
end $$;

-- Carriers above

alter policy sees on tandem.peering_group using (account_id = any ((select tandem.visible_ids_v1())::bigint[]));

create function tandem.lent_carriers() returns table (id bigint, account_id bigint, name text, enabled boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp rows 20
as $$
#variable_conflict use_column
begin
  if not tandem.is_platform() and tandem.acting_may('carriers_seen') then
    return query select g.id, g.account_id, g.name::text, g.enabled from tandem.peering_group g where g.account_id = any (tandem.above_ids());
  end if;
end $$;
comment on function tandem.lent_carriers is
  'With the right carriers_seen, the carriers of accounts above the acting one, and all that may be known of them. The platform reads the table.';

revoke execute on function tandem.acting_saw(bigint, timestamptz), tandem.is_window_since(bigint, integer, timestamptz),
  tandem.audit_acting(bigint), tandem.lent_carriers() from public;
grant execute on function tandem.acting_saw(bigint, timestamptz), tandem.is_window_since(bigint, integer, timestamptz), tandem.audit_acting(bigint), tandem.lent_carriers()
  to tandem_tool, tandem_tenant;
