-- The path of an account as far as the reader sees it, from the top: Tandem/North/Alpha.
-- of_account: which one. Returns null for one that is not seen. Locks nothing. Called by tools to name accounts.
set local role tandem_owner;

create or replace function tandem.account_path_v1(of_account bigint) returns text
language sql stable
as $$
  with recursive up as (
    select a.name::text as path, a.parent_id, 1 as used from tandem.account a where a.id = of_account
    union all
    select a.name || '/' || up.path, a.parent_id, up.used + 1
      from up join tandem.account a on a.id = up.parent_id where up.used < 64
  )
  select path from up order by used desc limit 1
$$;
comment on function tandem.account_path_v1 is 'Names of an account and of those above it that the reader sees, with / between them.';
grant execute on function tandem.account_path_v1 to tandem_tool, tandem_tenant;
