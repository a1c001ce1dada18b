-- Exchange rates with their dates; with one an account may pay by a tariff in another currency.
set local role tandem_owner;

create table tandem.exchange_rate (
  base       text not null references tandem.currency,
  quote      text not null references tandem.currency,
  valid_from timestamptz not null
             constraint exchange_rate_begins_between_2000_and_2100
             check (valid_from >= '2000-01-01 00:00Z' and valid_from < '2100-01-01 00:00Z'),
  rate       numeric not null
             constraint exchange_rate_is_a_billionth_to_nine_million check (rate between 0.000000001 and 9000000)
             constraint exchange_rate_has_at_most_9_decimals check (rate = round(rate, 9)),
  created_at timestamptz not null default now(),
  constraint two_exchange_rates_do_not_begin_together primary key (base, quote, valid_from),
  constraint exchange_is_between_two_currencies check (base <> quote)
);
comment on table tandem.exchange_rate is 'What a unit of one currency costs in another; the newest one that has begun counts. One direction says nothing of the other.';
comment on column tandem.exchange_rate.base is 'What is bought: the currency of the tariff.';
comment on column tandem.exchange_rate.quote is 'What it is paid in: the currency of the account.';
comment on column tandem.exchange_rate.valid_from is 'In force from then on, until the next one of the two currencies.';
comment on column tandem.exchange_rate.rate is 'Units of quote for one unit of base.';
comment on column tandem.exchange_rate.created_at is 'When the row was made.';

create function tandem.check_exchange_rate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  unknown text;
begin
  if tg_op <> 'INSERT' and old.valid_from <= now() then
    raise check_violation using message = format('the exchange rate of %s in %s from %s has been in force and stays; enter a newer one',
      old.base, old.quote, old.valid_from);
  elsif tg_op = 'DELETE' then
    return old;
  end if;
  select code into unknown from unnest(array[new.base, new.quote]) as code
   where code not in (select c.code from tandem.currency c) limit 1;
  if found then
    raise foreign_key_violation using message = format('exchange rate of %s in %s: there is no currency %L', new.base, new.quote, unknown);
  end if;
  return new;
end $$;
comment on function tandem.check_exchange_rate is 'Trigger: its currencies exist, and a rate by which calls were priced stays.';
create trigger check_exchange_rate before insert or update or delete on tandem.exchange_rate
  for each row execute function tandem.check_exchange_rate();

create function tandem.refuse_past_rate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.exchange_rate r where r.base = new.base and r.quote = new.quote) then
    raise check_violation using message = format(
      'the exchange rate of %s in %s cannot begin at %s, in the past: calls were priced by another one; only the first rate of the two may',
      new.base, new.quote, new.valid_from);
  end if;
  return new;
end $$;
comment on function tandem.refuse_past_rate is 'Trigger: only the first rate of two currencies begins in the past, which has a minute of grace.';
create trigger refuse_past_rate before insert or update on tandem.exchange_rate
  for each row when (new.valid_from < now() - interval '1 minute') execute function tandem.refuse_past_rate();

create function tandem.exchange_rate_at(of_base text, in_quote text, at timestamptz) returns numeric
language sql stable
return case when of_base = in_quote then 1 else
  (select r.rate from tandem.exchange_rate r where r.base = of_base and r.quote = in_quote and r.valid_from <= at
    order by r.valid_from desc limit 1) end;
comment on function tandem.exchange_rate_at is 'Units of quote for one of base at a moment; null when there was no rate.';

-- The tariff is one of the parent; its currency may be another one where there is an exchange rate.
alter table tandem.account
  drop constraint tariff_is_one_of_the_parent_in_the_same_currency,
  add constraint tariff_is_one_of_the_parent foreign key (tariff_id, parent_id) references tandem.tariff (id, account_id);
comment on column tandem.account.tariff_id is 'What the parent charges this account: a tariff of the parent.';
comment on column tandem.account.currency is
  'What the account pays its parent in; the tariff may be in another one that is exchanged into it. The root''s is its book currency.';

create or replace function tandem.check_account() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  parent tandem.account;
  priced text;
  height integer;
begin
  if tg_op = 'UPDATE' and (old.kind = 'root') <> (new.kind = 'root') then
    raise check_violation using message = format('account %s %L: no account becomes or ceases to be the root', old.id, old.name);
  end if;
  if tg_op = 'UPDATE' and old.status = 'closed' and new.status <> 'closed' then
    raise check_violation using message = format('account %s %L is closed for ever', old.id, old.name);
  elsif not exists (select from tandem.currency c where c.code = new.currency) then
    raise foreign_key_violation using message = format('account %L: there is no currency %L', new.name, new.currency);
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
  end if;
  select t.currency into priced from tandem.tariff t where t.id = new.tariff_id and t.account_id = new.parent_id;
  if not found then
    raise foreign_key_violation using message =
      format('account %L: tariff %s is no tariff of its parent %s %L', new.name, new.tariff_id, parent.id, parent.name);
  elsif tandem.exchange_rate_at(priced, new.currency, now()) is null then
    raise check_violation using message = format('account %L pays in %s, but tariff %s is in %s and there is no exchange rate of %s in %s',
      new.name, new.currency, new.tariff_id, priced, priced, new.currency);
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
comment on function tandem.check_account is
  'Trigger: kind rules, tariff of the parent, a way into the account''s currency, no circles, at most 8 levels, closed is the end.';

select tandem.feed_outbox('exchange_rate',
  'exchange', $q$ select 'fx' $q$);
select tandem.feed_outbox('horizon',
  'exchange', $q$ select 'fx' $q$,
  'tariff', $q$ select 'tar:' || d.tariff_id from tandem.tariff_deck d where d.valid_from <= r.at $q$);
select tandem.feed_audit('exchange_rate', $e$r.base || '/' || r.quote || '/' || r.valid_from$e$, 'null');

grant select on tandem.exchange_rate to tandem_sync, tandem_settle, tandem_tool;
grant insert, update, delete on tandem.exchange_rate to tandem_tool;
