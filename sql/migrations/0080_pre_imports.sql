-- What came in from files: rates of a tariff, routes of a carrier, numbers of an account; and what was there before, for an undo.
set local role tandem_owner;

create table tandem.import_file (
  id         bigint generated always as identity primary key,
  account_id bigint not null references tandem.account on delete cascade,
  kind       text not null constraint kind_is_known check (kind in ('rates', 'routes', 'numbers')),
  target_id  bigint not null,
  target     text not null constraint target_is_printable check (target ~ '^[^[:cntrl:]]*$'),
  file_name  text not null constraint file_name_is_1_to_255_printable_characters check (file_name ~ '^[^[:cntrl:]]{1,255}$'),
  sha256     text not null constraint sha256_is_64_lower_case_hex check (sha256 ~ '^[0-9a-f]{64}$'),
  lines      integer not null constraint lines_are_not_negative check (lines >= 0),
  summary    jsonb not null constraint summary_is_an_object check (jsonb_typeof(summary) = 'object'),
  before     jsonb not null default '{}',
  after      jsonb not null default '{}',
  created_at timestamptz not null default now(),
  undone_at  timestamptz
);
create index import_file_by_account on tandem.import_file(account_id);
create index import_file_by_target on tandem.import_file(kind, target_id);
comment on table tandem.import_file is 'Every file that `tandem import` took in. Who did it stands in the audit, which knows who may read that.';
comment on column tandem.import_file.id is 'Key; what `tandem import undo` is given.';
comment on column tandem.import_file.account_id is 'Whose configuration it changed.';
comment on column tandem.import_file.kind is 'rates, routes, numbers.';
comment on column tandem.import_file.target_id is 'The tariff, the carrier, or the account; perhaps it is gone since.';
comment on column tandem.import_file.target is 'Its name at that time.';
comment on column tandem.import_file.file_name is 'Without its directory.';
comment on column tandem.import_file.sha256 is 'Hash of the file.';
comment on column tandem.import_file.lines is 'Lines with data.';
comment on column tandem.import_file.summary is 'What was said of it before the switch: new, removed, increased ….';
comment on column tandem.import_file.before is 'Rates: what the tariff had before, as tandem.prices_ahead gives it.';
comment on column tandem.import_file.after is 'Rates: the same afterwards. An undo wants to find exactly this.';
comment on column tandem.import_file.created_at is 'When the row was made.';
comment on column tandem.import_file.undone_at is 'When it was undone; null = it counts.';

create table tandem.import_change (
  import_id bigint not null references tandem.import_file on delete cascade,
  key       bigint not null,
  before    jsonb,
  after     jsonb,
  primary key (import_id, key),
  constraint a_change_changes_something check (before is distinct from after)
);
comment on table tandem.import_change is 'Rows that an import of routes or numbers made, changed or removed.';
comment on column tandem.import_change.import_id is 'The import.';
comment on column tandem.import_change.key is 'The peering rule or the number.';
comment on column tandem.import_change.before is 'The row before; null = it is new.';
comment on column tandem.import_change.after is 'The row afterwards; null = it was removed. An undo wants to find exactly this.';

select tandem.feed_audit('import_file', 'r.id', 'r.account_id');

grant select on tandem.import_file, tandem.import_change to tandem_sync, tandem_settle, tandem_tool;

-- Rates

create function tandem.check_may_price(of_tariff bigint) returns tandem.tariff
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_one tandem.tariff;
begin
  select * into found_one from tandem.tariff t
   where t.id = of_tariff and (tandem.is_platform() or t.account_id = any ((select tandem.visible_ids_v1())::bigint[]));
  if not found then
    raise check_violation using message = format('tariff %s does not exist', of_tariff);
  end if;
  perform tandem.demand('prices');
  return found_one;
end $$;
comment on function tandem.check_may_price is 'The tariff; error unless who asks may change its prices.';
revoke execute on function tandem.check_may_price from public;

create function tandem.prices_ahead(of_tariff bigint, from_then timestamptz) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'now', coalesce((select to_jsonb(array[d.rate_set_id]) from tandem.tariff_deck d
                      where d.tariff_id = of_tariff and d.valid_from <= from_then order by d.valid_from desc limit 1),
                    (select to_jsonb(array[t.rate_set_id]) from tandem.tariff t where t.id = of_tariff)) -> 0,
    'ahead', coalesce((select jsonb_agg(jsonb_build_array(extract(epoch from d.valid_from), d.rate_set_id) order by d.valid_from)
                         from tandem.tariff_deck d where d.tariff_id = of_tariff and d.valid_from > from_then), '[]'))
$$;
comment on function tandem.prices_ahead is
  'What a tariff has from a moment on: "now", the rate set in force then, and "ahead", the later decks as [seconds since 1970, rate set].';
revoke execute on function tandem.prices_ahead from public;

create function tandem.prices_at(ahead jsonb, from_then timestamptz) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'now', coalesce((select d.value -> 1 from jsonb_array_elements(ahead -> 'ahead') as d
                      where (d.value ->> 0)::numeric <= extract(epoch from from_then) order by (d.value ->> 0)::numeric desc limit 1), ahead -> 'now'),
    'ahead', coalesce((select jsonb_agg(d.value order by (d.value ->> 0)::numeric) from jsonb_array_elements(ahead -> 'ahead') as d
                        where (d.value ->> 0)::numeric > extract(epoch from from_then)), '[]'))
$$;
comment on function tandem.prices_at is 'What tandem.prices_ahead said, as it reads at a later moment when nobody changes anything.';
revoke execute on function tandem.prices_at from public;

create function tandem.put_prices(of_tariff bigint, from_then timestamptz, of_set bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.tariff_deck d where d.tariff_id = of_tariff and d.valid_from <= from_then) then
    insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id) values (of_tariff, from_then, of_set);
  else
    update tandem.tariff set rate_set_id = of_set where id = of_tariff;
  end if;
end $$;
comment on function tandem.put_prices is 'Have a tariff cost what a rate set says, from this moment until its next deck begins.';
revoke execute on function tandem.put_prices from public;

-- A temporary table of this name might be anybody's, with anything behind it; what runs with the owner's rights reads its own only.
create function tandem.check_stage(names text[]) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if (select count(*) from pg_class c
       where c.relnamespace = pg_my_temp_schema() and c.relname = any (names) and c.relkind = 'r'
         and c.relowner = 'tandem_owner'::regrole) <> cardinality(names) then
    raise check_violation using message = 'nothing is staged in this transaction';
  end if;
end $$;
comment on function tandem.check_stage is 'Error unless this session has these temporary tables from tandem.stage_rates_v1 and its like.';
revoke execute on function tandem.check_stage from public;

create function tandem.sum_up_rates(base bigint, rise_max numeric, fall_max numeric) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
  timed    integer[] := array(select distinct c.class_idx from tandem.rate_class_period c where c.rate_set_id = base);
  free     integer[] := array(select p.idx from pg_temp.import_price p
                               where p.per_min_micros = 0 and p.connect_micros = 0 and p.min_micros = 0 and not p.forbidden);
  counts   jsonb;
  extremes jsonb;
begin
  select to_jsonb(x) into counts from (
    select count(*) filter (where d.what = 'n') as new, count(*) filter (where d.what = 'r') as removed,
           count(*) filter (where d.what = '+') as increased, count(*) filter (where d.what = '-') as decreased,
           count(*) filter (where d.what = 't') as other_terms, count(*) filter (where d.what = 'f') as forbidden,
           count(*) filter (where d.what = 'a') as allowed, count(*) filter (where d.what = '=') as unchanged,
           count(*) filter (where d.what = '+' and d.new_micros * 100 > d.old_micros * (100 + rise_max)) as beyond_rise,
           count(*) filter (where d.what = '-' and d.new_micros * 100 < d.old_micros * (100 - fall_max)) as beyond_fall,
           count(*) filter (where d.what in ('n', '-', 'a') and d.price = any (free)) as to_zero,
           count(*) filter (where d.what <> '=' and d.price is not null and d.old_class = any (timed)) as periods_lost
      from pg_temp.import_diff d
  ) as x;
  select coalesce(jsonb_agg(jsonb_build_array(y.prefix, y.old_micros, y.new_micros) order by y.rises desc, y.place), '[]') into extremes
    from (select x.*, row_number() over (partition by x.rises order by x.ratio desc, x.prefix) as place
            from (select d.prefix, d.old_micros, d.new_micros, d.what = '+' as rises,
                         case when d.what = '+' then d.new_micros / nullif(d.old_micros, 0)::float8
                              else d.old_micros / nullif(d.new_micros, 0)::float8 end as ratio  -- null: from or to nothing, sorts first
                    from pg_temp.import_diff d where d.what in ('+', '-')) as x) as y
   where y.place <= 5;
  return counts || jsonb_build_object('extremes', extremes);
end $$;
comment on function tandem.sum_up_rates is
  'Counts of what import_diff says, and the five largest changes either way as [prefix, old, new] in micros a minute.';
revoke execute on function tandem.sum_up_rates from public;

create function tandem.fill_rates(of_set bigint, base bigint) returns void
language plpgsql security definer
  set search_path = pg_catalog, pg_temp set work_mem = '96MB' set jit = off set max_parallel_workers_per_gather = 0
as $$
begin
  insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros)
  select of_set, c.idx, (c.said ->> 'per_min_micros')::bigint, (c.said ->> 'first_s')::integer, (c.said ->> 'next_s')::integer,
         (c.said ->> 'connect_micros')::bigint, (c.said ->> 'forbidden')::boolean, (c.said ->> 'min_micros')::bigint
    from (select distinct n.idx, n.said from pg_temp.import_class n) as c;
  if exists (select from pg_temp.import_class c where c.said -> 'periods' <> '{}') then
    insert into tandem.rate_period(rate_set_id, idx, name, spans)
    select of_set, p.idx, p.name, p.spans from tandem.rate_period p where p.rate_set_id = base;
    insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros, connect_micros)
    select of_set, c.idx, w.idx, (p.value ->> 'per_min_micros')::bigint, (p.value ->> 'connect_micros')::bigint
      from (select distinct n.idx, n.said from pg_temp.import_class n) as c
      cross join lateral jsonb_each(c.said -> 'periods') as p
      join tandem.rate_period w on w.rate_set_id = of_set and w.name = p.key;
  end if;
  analyze pg_temp.import_class;
  insert into tandem.rate(rate_set_id, prefix, class_idx)
  select of_set, x.prefix, x.idx
    from (select d.prefix, c.idx from pg_temp.import_diff d join pg_temp.import_class c on c.old_class = d.old_class where d.what = '='
          union all
          select d.prefix, c.idx from pg_temp.import_diff d join pg_temp.import_class c on c.price = d.price where d.what not in ('=', 'r')) as x
   order by x.prefix collate "C";  -- in the order of the key: its index grows at its end
end $$;
comment on function tandem.fill_rates is 'Write the classes, periods and rates of a new set, as import_diff and import_class say.';
revoke execute on function tandem.fill_rates from public;

-- Routes and numbers are written by the acting account itself, under its policies; only the note of it is not its own to write.

create function tandem.stage_changes_v1() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  create temporary table import_change (key bigint primary key, before jsonb, after jsonb) on commit drop;
  grant insert, select, update on import_change to tandem_tool, tandem_tenant;
end $$;
comment on function tandem.stage_changes_v1 is 'Make the temporary table for what an import of routes or numbers changes.';

-- What an undo brings back stands in what is kept here: it is of the target, and of rows that there were.
create function tandem.check_may_import(of_kind text, of_target bigint, out owner_id bigint, out name text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  case of_kind
    when 'routes' then
      select g.account_id, g.name into owner_id, name from tandem.peering_group g where g.id = of_target;
    when 'numbers' then
      select a.id, a.name into owner_id, name from tandem.account a where a.id = of_target;
    else
      raise check_violation using message = format('%L is neither routes nor numbers', of_kind);
  end case;
  if owner_id is null or not tandem.acting_sees(owner_id) then
    raise foreign_key_violation using message = format('%s %s does not exist', case of_kind when 'routes' then 'carrier' else 'account' end, of_target);
  elsif of_kind = 'routes' then
    perform tandem.demand('carriers_own');
  end if;
end $$;
comment on function tandem.check_may_import is 'Whose a carrier or an account is, and its name; error unless who asks may change its routes or numbers.';
revoke execute on function tandem.check_may_import from public;

create function tandem.keep_changes_v1(of_kind text, of_target bigint, file jsonb) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  target   constant record := tandem.check_may_import(of_kind, of_target);
  of_table constant text := case of_kind when 'routes' then 'peering_rule' else 'number' end;
  owned_by constant text := case of_kind when 'routes' then 'group_id' else 'account_id' end;
  newest   constant bigint := coalesce(pg_sequence_last_value(pg_get_serial_sequence('tandem.' || of_table, 'id')::regclass), 0);
  wrong    bigint;
  made     bigint;
begin
  perform tandem.check_stage('{import_change}');
  execute format($q$
    select c.key from pg_temp.import_change c left join tandem.%I r on r.id = c.key
     where c.key not between 1 and $1 or to_jsonb(r) is distinct from c.after
        or exists (select from (values (c.before), (c.after)) as s(said)
                    where s.said is not null and (s.said -> 'id', s.said -> %L) is distinct from (to_jsonb(c.key), to_jsonb($2)))
     limit 1 $q$, of_table, owned_by) into wrong using newest, of_target;
  if wrong is not null then
    raise check_violation using message = format('import of %s: row %s is none that it changed', of_kind, wrong);
  elsif of_kind = 'numbers' and exists (select from pg_temp.import_change c where (c.before -> 'e164') is distinct from (c.after -> 'e164')) then
    perform tandem.demand('numbers');
  end if;
  insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary)
  values (target.owner_id, of_kind, of_target, target.name, file ->> 'file_name', file ->> 'sha256', (file ->> 'lines')::integer, file -> 'summary')
  returning id into made;
  insert into tandem.import_change(import_id, key, before, after)
  select made, c.key, c.before, c.after from pg_temp.import_change c where c.before is distinct from c.after;
  return made;
end $$;
comment on function tandem.keep_changes_v1 is
  'Note an import of routes or numbers, and what it has changed, for an undo; returns its id. of_target: the carrier or the account; '
  'file: {"file_name", "sha256", "lines", "summary"}. What is staged as the rows afterwards are the rows.';

create function tandem.end_import_v1(of_import bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  file   tandem.import_file;
  target record;
begin
  select * into file from tandem.import_file f where f.id = of_import and f.kind <> 'rates' and tandem.acting_sees(f.account_id) for no key update;
  if not found then
    raise check_violation using message = format('import %s does not exist', of_import);
  elsif file.undone_at is not null then
    raise check_violation using message = format('import %s was undone already', of_import);
  end if;
  target := tandem.check_may_import(file.kind, file.target_id);
  if target.owner_id <> file.account_id then
    raise check_violation using message = format('import %s cannot be undone: its carrier is another account''s now', of_import);
  end if;
  update tandem.import_file set undone_at = now() where id = of_import;
end $$;
comment on function tandem.end_import_v1 is
  'Note that an import of routes or numbers is undone, in the transaction that brings its rows back; error unless who asks may.';
revoke execute on function tandem.stage_changes_v1, tandem.keep_changes_v1, tandem.end_import_v1 from public;
grant execute on function tandem.stage_changes_v1, tandem.keep_changes_v1, tandem.end_import_v1 to tandem_tool, tandem_tenant;

-- Who sees them: whoever sees the account. Nobody writes them but by these functions.

select tandem.isolate('import_file', sees => 'account_id = {visible}');
select tandem.isolate('import_change', sees => 'exists (select from tandem.import_file f where f.id = import_id)');
