-- A rate set may stand on others: an edit of one price copies the fields that it touches, not the deck.
-- Field: the first four digits of a prefix, or all of a shorter one; what Redis packs into one bucket.
set local role tandem_owner;

alter table tandem.rate_set
  add column base_id bigint,
  add column layers bigint[] not null default '{}',
  add constraint base_is_a_rate_set_of_the_tariff foreign key (base_id, tariff_id) references tandem.rate_set (id, tariff_id);
create index rate_set_by_base on tandem.rate_set(base_id) where base_id is not null;
comment on column tandem.rate_set.base_id is 'The set that this one stands on: what it does not touch is as there; null = it stands alone.';
comment on column tandem.rate_set.layers is 'Itself and all that it stands on, newest first; empty when it stands alone. Kept by trigger.';

create table tandem.rate_field (
  rate_set_id bigint not null references tandem.rate_set on delete cascade,
  field       text collate "C" not null constraint field_is_1_to_4_digits check (field ~ '^[1-9][0-9]{0,3}$'),
  primary key (rate_set_id, field)
);
comment on table tandem.rate_field is 'What a set that stands on another decides itself: every prefix with this field; without a rate the field is gone.';
comment on column tandem.rate_field.rate_set_id is 'The rate set; one with a base.';
comment on column tandem.rate_field.field is 'The first four digits of prefixes, or all of one that is shorter.';

do $$
begin
  execute (select string_agg(format('create trigger %s %s on tandem.rate_field %s for each statement execute function tandem.check_set_is_building()',
                                    name, moment, images), ';')
             from (values ('check_inserted', 'after insert', 'referencing new table as touched_rows'),
                          ('check_updated_old', 'after update', 'referencing old table as touched_rows'),
                          ('check_updated_new', 'after update', 'referencing new table as touched_rows'),
                          ('check_deleted', 'after delete', 'referencing old table as touched_rows'),
                          ('check_truncated', 'before truncate', '')) as t(name, moment, images));
end $$;
grant select on tandem.rate_field to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.rate_field to tandem_tool;

create function tandem.layers_over(of_set bigint, of_base bigint) returns bigint[]
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  base tandem.rate_set;
begin
  if of_base is null then
    return '{}';
  end if;
  select * into base from tandem.rate_set s where s.id = of_base;
  if base.state is distinct from 'ready' then
    raise check_violation using message = format('rate set %s cannot stand on rate set %s, which is not ready', of_set, of_base);
  elsif cardinality(base.layers) >= 8 then
    raise check_violation using message = format('rate set %s stands on 7 others already: a full set is due', of_base);
  end if;
  return of_set || case when base.layers = '{}' then array[base.id] else base.layers end;
end $$;
comment on function tandem.layers_over is 'The layers of a set on a base, itself first; error when the base is not ready or there would be more than 8.';

create or replace function tandem.check_rate_set() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'INSERT' then
    if new.state <> 'building' then
      raise check_violation using message = format('rate set %s begins as building', new.id);
    end if;
    new.layers := tandem.layers_over(new.id, new.base_id);
    return new;
  end if;
  if old.state = 'ready' then
    raise check_violation using message = format('rate set %s is ready and cannot be changed; make a new version', old.id);
  elsif (new.id, new.tariff_id, new.version, new.base_id, new.layers)
        is distinct from (old.id, old.tariff_id, old.version, old.base_id, old.layers) then
    raise check_violation using message = format('rate set %s keeps its tariff and version, and what it stands on', old.id);
  elsif new.state = 'ready' then
    perform tandem.check_rates(new.id);
    perform tandem.check_layer(new);
  end if;
  return new;
end $$;
comment on function tandem.check_rate_set is 'Trigger: building -> ready and nothing after; what it stands on is ready and few enough.';

create function tandem.check_layer(of_set tandem.rate_set) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  wrong record;
begin
  if of_set.base_id is null then
    if exists (select from tandem.rate_field f where f.rate_set_id = of_set.id) then
      raise check_violation using message = format('rate set %s stands on no other and touches no fields', of_set.id);
    end if;
    return;
  end if;
  select r.prefix into wrong from tandem.rate r
   where r.rate_set_id = of_set.id
     and not exists (select from tandem.rate_field f where f.rate_set_id = of_set.id and f.field = left(r.prefix, 4)) limit 1;
  if found then
    raise check_violation using message =
      format('rate set %s has prefix %s, whose field %s it does not touch', of_set.id, wrong.prefix, left(wrong.prefix, 4));
  end if;
  select x.idx into wrong
    from (select b.idx, b.price from tandem.price_classes(of_set.base_id) as b
          except select c.idx, c.price from tandem.price_classes(of_set.id) as c) as x
   order by x.idx limit 1;
  if found then
    raise check_violation using message =
      format('rate set %s: price class %s is not that of rate set %s, on which it stands', of_set.id, wrong.idx, of_set.base_id);
  elsif exists (select from tandem.rate_period p
                 where p.rate_set_id = of_set.base_id
                   and not exists (select from tandem.rate_period o
                                    where (o.rate_set_id, o.idx, o.name, o.spans) = (of_set.id, p.idx, p.name, p.spans))) then
    raise check_violation using message =
      format('rate set %s has other periods than rate set %s, on which it stands', of_set.id, of_set.base_id);
  end if;
end $$;
comment on function tandem.check_layer is 'Error unless the set decides only fields that it names, and its classes and periods contain those of its base.';

-- In the words of an edit, every part said.
create function tandem.price_of(said jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'per_min_micros', coalesce((said ->> 'per_min_micros')::bigint, 0),
    'first_s', coalesce((said ->> 'first_s')::integer, 1),
    'next_s', coalesce((said ->> 'next_s')::integer, 1),
    'connect_micros', coalesce((said ->> 'connect_micros')::bigint, 0),
    'forbidden', coalesce((said ->> 'forbidden')::boolean, false),
    'min_micros', coalesce((said ->> 'min_micros')::bigint, 0),
    'periods', coalesce((
      select jsonb_object_agg(p.key, jsonb_build_object('per_min_micros', coalesce((p.value ->> 'per_min_micros')::bigint, 0),
                                                        'connect_micros', coalesce((p.value ->> 'connect_micros')::bigint, 0)))
        from jsonb_each(nullif(said -> 'periods', 'null')) as p), '{}'))
$$;
comment on function tandem.price_of is 'A price as an edit or a class says it, with every part said.';

create function tandem.price_classes(of_set bigint) returns table (idx integer, price jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select c.idx, tandem.price_of(to_jsonb(c) || jsonb_build_object('periods', (
           select jsonb_object_agg(w.name, jsonb_build_object('per_min_micros', p.per_min_micros, 'connect_micros', p.connect_micros))
             from tandem.rate_class_period p
             join tandem.rate_period w on w.rate_set_id = p.rate_set_id and w.idx = p.period_idx
            where p.rate_set_id = c.rate_set_id and p.class_idx = c.idx)))
    from tandem.rate_class c where c.rate_set_id = of_set
$$;
comment on function tandem.price_classes is 'The price classes of a set, each as one value that is equal when the price is.';


create function tandem.foundation(of_set bigint) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
return (select coalesce(s.layers[cardinality(s.layers)], s.id) from tandem.rate_set s where s.id = of_set);
comment on function tandem.foundation is 'The full set at the bottom of a set; itself where it stands alone.';

create function tandem.check_edits(of_set bigint, edits jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  wrong text;
begin
  if not exists (select from tandem.rate_set s where s.id = of_set and s.state = 'ready') then
    raise check_violation using message = format('rate set %s is not a ready one', of_set);
  elsif jsonb_typeof(edits) is distinct from 'array' or edits = '[]' then
    raise check_violation using message = 'edits are a list of at least one prefix with its price';
  end if;
  select e.value::text into wrong from jsonb_array_elements(edits) as e
   where jsonb_typeof(e.value) <> 'object' or e.value - 'prefix' - 'price' <> '{}' or not e.value ?& '{prefix,price}'
      or (e.value ->> 'prefix') !~ '^[1-9][0-9]{0,14}$' or jsonb_typeof(e.value -> 'price') not in ('object', 'null')
      or (jsonb_typeof(e.value -> 'price') = 'object'
          and (e.value -> 'price') - '{per_min_micros,first_s,next_s,connect_micros,forbidden,min_micros,periods}'::text[] <> '{}') limit 1;
  if found then
    raise check_violation using message = format('%s is no edit: {"prefix": digits, "price": {…} or null}', wrong);
  end if;
  select e.value ->> 'prefix' into wrong from jsonb_array_elements(edits) as e group by 1 having count(*) > 1 limit 1;
  if found then
    raise check_violation using message = format('prefix %s is edited twice', wrong);
  end if;
  select e.value ->> 'prefix' into wrong from jsonb_array_elements(edits) as e
   where e.value -> 'price' = 'null'
     and not exists (select from tandem.rates_of_field(of_set, left(e.value ->> 'prefix', 4)) as r where r.prefix = e.value ->> 'prefix') limit 1;
  if found then
    raise check_violation using message = format('prefix %s cannot be taken away: rate set %s has no price of its own for it', wrong, of_set);
  end if;
end $$;
comment on function tandem.check_edits is 'Error unless a ready set can be edited so.';

create function tandem.rates_of_field(of_set bigint, of_field text) returns table (prefix text, class_idx integer)
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select r.prefix::text, r.class_idx
    from tandem.rate r
   where r.rate_set_id = coalesce(
           (select l.id from tandem.rate_set s cross join lateral unnest(s.layers) with ordinality as l(id, place)
              join tandem.rate_field f on f.rate_set_id = l.id and f.field = of_field
             where s.id = of_set order by l.place limit 1),
           tandem.foundation(of_set))
     and r.prefix >= of_field collate "C"
     and r.prefix <= (of_field || case when length(of_field) < 4 then '' else ':' end) collate "C"  -- a colon sorts after the digits
$$;
comment on function tandem.rates_of_field is 'The rates of one field as calls see them: those of the newest layer that has it.';

create function tandem.copy_prices(from_set bigint, to_set bigint, edits jsonb) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  place integer := (select count(*) from tandem.rate_class c where c.rate_set_id = from_set);
  added jsonb;
  known integer;
begin
  insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros)
  select to_set, c.idx, c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.forbidden, c.min_micros
    from tandem.rate_class c where c.rate_set_id = from_set;
  insert into tandem.rate_period(rate_set_id, idx, name, spans)
  select to_set, p.idx, p.name, p.spans from tandem.rate_period p where p.rate_set_id = from_set;
  insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros, connect_micros)
  select to_set, p.class_idx, p.period_idx, p.per_min_micros, p.connect_micros
    from tandem.rate_class_period p where p.rate_set_id = from_set;

  for added in
    select tandem.price_of(e.value -> 'price') as price from jsonb_array_elements(edits) as e where e.value -> 'price' <> 'null'
    except select c.price from tandem.price_classes(from_set) as c order by price
  loop
    insert into tandem.rate_class(rate_set_id, idx, per_min_micros, first_s, next_s, connect_micros, forbidden, min_micros)
    select to_set, place, p.per_min_micros, p.first_s, p.next_s, p.connect_micros, p.forbidden, p.min_micros
      from jsonb_populate_record(null::tandem.rate_class, added) as p;
    insert into tandem.rate_class_period(rate_set_id, class_idx, period_idx, per_min_micros, connect_micros)
    select to_set, place, w.idx, (p.value ->> 'per_min_micros')::bigint, (p.value ->> 'connect_micros')::bigint
      from jsonb_each(added -> 'periods') as p join tandem.rate_period w on w.rate_set_id = to_set and w.name = p.key;
    get diagnostics known = row_count;
    if known < (select count(*) from jsonb_each(added -> 'periods')) then
      raise check_violation using message = format('a price of rate set %s names a period that the set does not have: %s', from_set, added -> 'periods');
    end if;
    place := place + 1;
  end loop;
end $$;
comment on function tandem.copy_prices is 'Give a new set the price classes and periods of another, and classes for what edits add.';

-- The deck in force takes edits of its own prices; anything else comes as another deck.
create or replace function tandem.keep_begun_deck() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (new.tariff_id, new.valid_from, new.created_at) = (old.tariff_id, old.valid_from, old.created_at)
     and tandem.foundation(new.rate_set_id) = tandem.foundation(old.rate_set_id)
     and not exists (select from tandem.tariff_deck d
                      where d.tariff_id = old.tariff_id and d.valid_from > old.valid_from and d.valid_from <= now()) then
    return new;
  end if;
  if exists (select from tandem.tariff t where t.id = old.tariff_id) then  -- else: it goes with its tariff
    raise check_violation using message =
      format('tariff %s: its deck from %s has been in force and stays; enter a newer one', old.tariff_id, old.valid_from);
  end if;
  return old;
end $$;
comment on function tandem.keep_begun_deck is 'Trigger: a deck by which calls were priced stays; the one in force may change to a set on the same foundation.';

create or replace function tandem.refuse_past_deck() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and new.valid_from = old.valid_from then  -- tandem.keep_begun_deck has looked at it
    return new;
  elsif exists (select from tandem.tariff_deck d where d.tariff_id = new.tariff_id) then
    raise check_violation using message =
      format('tariff %s: a deck cannot begin at %s, in the past: calls were priced without it; only its first deck may', new.tariff_id, new.valid_from);
  end if;
  return new;
end $$;
comment on function tandem.refuse_past_deck is 'Trigger: only the first deck of a tariff begins in the past, which has a minute of grace.';
