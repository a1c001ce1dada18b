-- The life of accounts: what their moving, suspending, closing and removing rest on (tandem.move_account_v1 and its neighbours).
set local role tandem_owner;

create function tandem.governed(of_account bigint, verb text) returns tandem.account
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  account tandem.account;
begin
  perform tandem.admit(of_account, below => true);
  select * into account from tandem.account a where a.id = of_account for update;
  if not found then
    raise foreign_key_violation using message = format('account %s does not exist', of_account);
  end if;
  perform tandem.admit(of_account, below => true);  -- a move may have ended while the lock was waited for
  if account.kind = 'root' then
    raise check_violation using message = format('account %s %L is the root: nobody can %s it', account.id, account.name, verb);
  end if;
  return account;
end $$;
comment on function tandem.governed is
  'The account, locked, if the acting account sees it below itself, or the platform asks; an error otherwise. verb: what is to be done, for the message.';
revoke execute on function tandem.governed from public;

create function tandem.hold_tree() returns void
language sql
as $$ select pg_advisory_xact_lock(hashtextextended('tandem.account.move', 0)) $$;
comment on function tandem.hold_tree is 'No account moves until this transaction ends; before any row is locked, as trigger lock_tree does it.';

-- By ids, as the posting of calls locks accounts, or the two could wait for each other. An account that appears meanwhile is
-- locked in the next round; below a locked one none can appear.
create function tandem.lock_subtree(top_id bigint) returns bigint[]
language plpgsql
as $$
declare
  locked bigint[] := '{}';
  found  bigint[];
begin
  loop
    with recursive below as (
      select top_id as id
      union all
      select a.id from tandem.account a join below on a.parent_id = below.id
    )
    select array_agg(b.id order by b.id) into found from below b;
    exit when found = locked;
    perform from tandem.account a where a.id = any (found) order by a.id for update;
    locked := found;
  end loop;
  return locked;
end $$;
comment on function tandem.lock_subtree is 'Ids of the account and of all below it, every one locked against changes, payments and new things below it.';
revoke execute on function tandem.lock_subtree from public;

create function tandem.seen_of(ids bigint[]) returns bigint[]
language plpgsql stable
as $$
begin
  if tandem.is_platform() then
    return ids;
  end if;
  return array(select unnest(ids) intersect select unnest(tandem.visible_ids_v1()));
end $$;
comment on function tandem.seen_of is 'Those of these accounts that the acting account sees; all for the platform.';
revoke execute on function tandem.seen_of from public;

create function tandem.return_numbers(of_accounts bigint[], to_account bigint) returns text[]
language sql
as $$
  with returned as (
    update tandem.number n set account_id = to_account, subscriber_id = null where n.account_id = any (of_accounts) returning n.e164
  )
  select coalesce(array_agg(r.e164::text order by r.e164), '{}') from returned r
$$;
comment on function tandem.return_numbers is 'Numbers of accounts that end go to another one, and reach nobody there yet.';
revoke execute on function tandem.return_numbers from public;

-- After a row policy has judged the row: what it says tells of an account.
create function tandem.keep_closed() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  owner_id   bigint := case tg_table_name when 'account' then to_jsonb(new) ->> 'parent_id' else to_jsonb(new) ->> 'account_id' end;
  its_status text;
begin
  select a.status into its_status from tandem.account a where a.id = owner_id for key share;  -- waits for one that is being closed
  if its_status = 'closed' then
    raise check_violation using message = format('%s: account %s is closed and gets nothing new', replace(tg_table_name, '_', ' '), owner_id);
  end if;
  return null;
end $$;
comment on function tandem.keep_closed is 'Trigger: nothing new belongs to a closed account.';
revoke execute on function tandem.keep_closed from public;

do $$
declare
  kept record;
begin
  for kept in
    select * from (values ('subscriber', 'account_id'), ('number', 'account_id'), ('sip_domain', 'account_id'),
                          ('peering_group', 'account_id'), ('account', 'parent_id')) as k(name, owner)
  loop
    execute format('create trigger keep_closed_made after insert on tandem.%I for each row execute function tandem.keep_closed()', kept.name);
    execute format('create trigger keep_closed_changed after update of %I on tandem.%I for each row'
                   ' when (old.%1$I is distinct from new.%1$I) execute function tandem.keep_closed()', kept.owner, kept.name);
  end loop;
end $$;

create function tandem.has_password(of_subscriber bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (
  select from tandem.subscriber s
   where s.id = of_subscriber and (s.ha1_md5 is not null or s.ha1_sha256 is not null)
     and tandem.acting_sees(s.account_id));
comment on function tandem.has_password is 'Whether a line that one sees has a password; tenants cannot read its hashes.';
revoke execute on function tandem.has_password from public;
grant execute on function tandem.has_password to tandem_tool, tandem_tenant;

-- Nobody stands below a new account, so who sees it is found by climbing from it, row by row: the query that recomputes a subtree read
-- all accounts for each new one as long as Postgres took the table for small.
create or replace function tandem.keep_visibility() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  viewer tandem.account := new;
begin
  if tg_op = 'UPDATE' then
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

-- As before, and of nothing too: what an account has when it comes below another parent is judged as if it got it there.
create or replace function tandem.check_overcommit(of_account tandem.account, in_currency text, micros bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  parent  tandem.account;
  balance numeric;
  own     numeric;
  rate    numeric;
begin
  select * into parent from tandem.account a where a.id = of_account.parent_id;
  if parent.kind = 'root' or parent.overcommit_pct is null or micros < 0 then
    return;
  end if;
  rate := tandem.exchange_rate_at(in_currency, parent.currency, now());
  if rate is null then
    raise check_violation using message = format('account %s %L guards top-ups in %s, and there is no exchange rate of %s in %s',
      parent.id, parent.name, parent.currency, in_currency, parent.currency);
  end if;
  select c.cred_micros - g.charged_micros into balance
    from tandem.fund_credit c join tandem.fund_charge g using (account_id, currency)
   where c.account_id = parent.id and c.currency = parent.currency;
  select c.cred_micros - g.charged_micros + micros into own
    from tandem.fund_credit c join tandem.fund_charge g using (account_id, currency)
   where c.account_id = of_account.id and c.currency = in_currency;
  if balance <= 0 then
    raise check_violation using message = format(
      'account %s %L gets nothing: the posted balance of its parent %s %L, which guards top-ups, is %s %s',
      of_account.id, of_account.name, parent.id, parent.name, (balance / 1000000)::numeric(20, 6), parent.currency);
  elsif own * rate > balance * (100 + parent.overcommit_pct) / 100 then
    raise check_violation using message = format(
      'account %s %L would have %s %s, and may have at most %s %% of the posted balance of its parent %s %L, which is %s %s; '
      'what calls in progress hold is not seen',
      of_account.id, of_account.name, (own / 1000000)::numeric(20, 6), in_currency,
      100 + parent.overcommit_pct, parent.id, parent.name, (balance / 1000000)::numeric(20, 6), parent.currency);
  end if;
end $$;
comment on function tandem.check_overcommit is
  'Error when a credit lifts an account above what its parent allows, or, of 0 micros, when it is above; sees posted money only. '
  'The caller holds the fund''s sum.';
