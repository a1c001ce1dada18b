-- What accounts may do themselves: rights that a parent gives, at most those that it has.
set local role tandem_owner;

create function tandem.rights() returns text[]
language sql immutable
return array['accounts', 'prices', 'money', 'carriers_seen', 'carriers_own', 'domains', 'numbers', 'routing', 'callflows'];
comment on function tandem.rights is 'Every right that may be granted; the root has them all.';

-- That nobody has more than its parent is a foreign key, so it holds between writers that do not see each other, and taking a
-- right away takes it from the whole subtree as one cascade.
create table tandem.account_grant (
  account_id bigint not null references tandem.account on delete cascade,
  right_name text not null constraint right_is_known check (right_name = any (tandem.rights())),
  parent_id  bigint,
  created_at timestamptz not null default now(),
  primary key (account_id, right_name),
  constraint an_account_gives_at_most_what_it_has
    foreign key (parent_id, right_name) references tandem.account_grant (account_id, right_name) on delete cascade
);
create index account_grant_by_parent on tandem.account_grant(parent_id, right_name);
comment on table tandem.account_grant is
  'Rights of accounts to change things themselves: accounts (make them below itself), prices (tariffs, decks), money (credit, debit, top up, '
  'limits of those below), carriers_seen (those of accounts above, by name), carriers_own (have some), domains (make SIP domains), numbers '
  '(bring in new ones), routing (how its calls are routed), callflows (users, groups, callflows). The root has all without rows.';
comment on column tandem.account_grant.account_id is 'Who has the right; never the root.';
comment on column tandem.account_grant.right_name is 'Which one of tandem.rights().';
comment on column tandem.account_grant.parent_id is 'The parent, whose own grant this one rests on; null = the root. Set by trigger.';
comment on column tandem.account_grant.created_at is 'When the row was made.';

-- It raises nothing about the account: a row policy has not been asked yet who may know of it.
create function tandem.set_grant_parent() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (new.account_id, new.right_name) is distinct from (old.account_id, old.right_name) then
    raise check_violation using message = 'a right is given or taken, never changed';
  end if;
  perform from tandem.account a where a.id = new.account_id for key share;  -- no move of it meanwhile
  new.parent_id := (select p.id from tandem.account a join tandem.account p on p.id = a.parent_id
                     where a.id = new.account_id and p.kind <> 'root');
  return new;
end $$;
comment on function tandem.set_grant_parent is 'Trigger: a grant rests on the parent''s, and keeps its account and right.';
create trigger set_grant_parent before insert or update on tandem.account_grant
  for each row execute function tandem.set_grant_parent();

create function tandem.check_grant() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (select from tandem.account a where a.id = new.account_id and a.kind = 'root') then
    raise check_violation using message = 'the root has every right; none is granted to it';
  end if;
  return null;
end $$;
comment on function tandem.check_grant is 'Trigger: the root needs no grants.';
create trigger check_grant after insert on tandem.account_grant for each row execute function tandem.check_grant();

create function tandem.move_grants() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  upper constant bigint := (select p.id from tandem.account p where p.id = new.parent_id and p.kind <> 'root');
begin
  delete from tandem.account_grant g
   where g.account_id = new.id and upper is not null
     and not exists (select from tandem.account_grant u where u.account_id = upper and u.right_name = g.right_name);
  update tandem.account_grant g set parent_id = upper where g.account_id = new.id and g.parent_id is distinct from upper;
  return null;
end $$;
comment on function tandem.move_grants is 'Trigger: a moved account, with all below it, loses the rights that its new parent lacks.';
create trigger move_grants after update of parent_id on tandem.account
  for each row when (old.parent_id is distinct from new.parent_id) execute function tandem.move_grants();

select tandem.feed_audit('account_grant', $e$r.account_id || '/' || r.right_name$e$, 'r.account_id');

create function tandem.has_right(of_account bigint, of_right text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if of_right is null or of_right <> all (tandem.rights()) then
    raise check_violation using message = format('%L is no right: %s', of_right, array_to_string(tandem.rights(), ', '));
  end if;
  return exists (select from tandem.account_grant g where g.account_id = of_account and g.right_name = of_right)
      or exists (select from tandem.account a where a.id = of_account and a.kind = 'root');
end $$;
comment on function tandem.has_right is 'Whether the account has the right; the root has every one. An unknown right is an error, or a slip would forbid silently.';

-- The role that was set, or that logged in, not that of a SECURITY DEFINER function around: such a function does not make a tenant
-- the platform. Whoever belongs to none of these roles is taken for a tenant.
create function tandem.is_platform() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (
  select from unnest(array['tandem_tool', 'tandem_owner', 'tandem_settle', 'tandem_sync']) as r(name)
   where pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user)::name, r.name, 'usage'));
comment on function tandem.is_platform is 'Whether the platform itself asks, bound by no grants: operators as the root, sync, settle, the owner.';

create function tandem.acting_may(of_right text) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return tandem.is_platform() or tandem.has_right(tandem.acting_account_v1(), of_right);
end $$;
comment on function tandem.acting_may is
  'Whether who asks has the right: the platform has every one, a tenant those of the acting account. Unset acting account: error.';

grant select on tandem.account_grant to tandem_sync, tandem_settle, tandem_tool;
grant insert, delete on tandem.account_grant to tandem_tool;
