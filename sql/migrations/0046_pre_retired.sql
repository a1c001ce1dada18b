-- A rate set that nothing names any more leaves Redis after a while and stays here; named again, it comes back first.
set local role tandem_owner;

alter table tandem.rate_set add column retired boolean not null default false;
comment on column tandem.rate_set.retired is 'Redis does not have it, as nothing has named it for 10 minutes. Kept by triggers and tandem.retire_rate_sets_v1.';

create table tandem.rate_set_unused (
  rate_set_id bigint primary key references tandem.rate_set on delete cascade,
  since       timestamptz not null default now()
);
comment on table tandem.rate_set_unused is 'Ready rate sets that nothing names, and that Redis still has.';
comment on column tandem.rate_set_unused.rate_set_id is 'The rate set.';
comment on column tandem.rate_set_unused.since is 'When that was noticed.';
grant select on tandem.rate_set_unused to tandem_sync, tandem_settle, tandem_tool;

-- What is named: by a tariff's record (its decks that were over before the horizon are not in it), or by a set that Redis has.
create function tandem.unused_rate_sets() returns setof bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  with deck as (
    select k.tariff_id, k.rate_set_id, lead(k.valid_from) over (partition by k.tariff_id order by k.valid_from) as until
      from tandem.tariff_deck k
  ), named as (
    select t.rate_set_id as id from tandem.tariff t
    union all select t.inbound_rate_set_id from tandem.tariff t
    union all select d.rate_set_id from deck d
               where d.until is null or d.until > coalesce((select h.at from tandem.horizon h), '-infinity')
    union all select l from tandem.rate_set u cross join lateral unnest(u.layers[2:]) as l where u.state = 'ready' and not u.retired
  )
  select s.id from tandem.rate_set s
   where s.state = 'ready' and not s.retired and not exists (select from named n where n.id = s.id)
$$;
comment on function tandem.unused_rate_sets is 'The ready rate sets that Redis has and nothing names.';

-- The lock waits for a transaction of tandem.retire_rate_sets_v1, and lets the next one wait for this.
create function tandem.bring_back(of_sets bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  needed bigint[] := array(select distinct l from tandem.rate_set s cross join lateral unnest(s.id || s.layers[2:]) as l
                            where s.id = any (of_sets));
begin
  perform from tandem.rate_set s where s.id = any (needed) order by s.id for no key update;
  delete from tandem.rate_set_unused u where u.rate_set_id = any (needed);
  if exists (select from tandem.rate_set s where s.id = any (needed) and s.retired) then
    update tandem.rate_set s set retired = false where s.id = any (needed) and s.retired;
  end if;
end $$;
comment on function tandem.bring_back is 'See that Redis has these sets, with all that they stand on, before it is told of what names them.';

create function tandem.bring_back_rate_sets() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_table_name = 'tariff' then
    perform tandem.bring_back(array[new.rate_set_id, new.inbound_rate_set_id]);
  elsif tg_table_name = 'tariff_deck' then
    perform tandem.bring_back(array[new.rate_set_id]);
  elsif new.state = 'ready' and old.state <> 'ready' then
    perform tandem.bring_back(new.layers[2:]);
  end if;
  return null;
end $$;
comment on function tandem.bring_back_rate_sets is 'Trigger: what is named now is not retired.';
create trigger bring_back_rate_sets after insert or update of rate_set_id, inbound_rate_set_id on tandem.tariff
  for each row execute function tandem.bring_back_rate_sets();
create trigger bring_back_rate_sets after insert or update of rate_set_id on tandem.tariff_deck
  for each row execute function tandem.bring_back_rate_sets();
create trigger bring_back_rate_sets after update of state on tandem.rate_set
  for each row execute function tandem.bring_back_rate_sets();

create or replace function tandem.check_rate_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if new.state <> 'building' or new.retired then
      raise check_violation using message = format('rate set %s begins as building', new.id);
    end if;
    new.layers := tandem.layers_over(new.id, new.base_id);
    return new;
  end if;
  if old.state = 'ready' then
    if to_jsonb(new) - 'retired' <> to_jsonb(old) - 'retired' then
      raise check_violation using message = format('rate set %s is ready and cannot be changed; make a new version', old.id);
    end if;
  elsif (new.id, new.tariff_id, new.version, new.base_id, new.layers, new.retired)
        is distinct from (old.id, old.tariff_id, old.version, old.base_id, old.layers, old.retired) then
    raise check_violation using message = format('rate set %s keeps its tariff and version, and what it stands on', old.id);
  elsif new.state = 'ready' then
    perform tandem.check_rates(new.id);
    perform tandem.check_layer(new);
  end if;
  return new;
end $$;
comment on function tandem.check_rate_set is 'Trigger: building -> ready and nothing after but retired; what it stands on is ready and few enough.';
