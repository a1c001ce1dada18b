-- Run statements one by one as whoever calls, each undone at once: what came of it is all that stays.
create schema probe;
grant usage on schema probe to public;

-- state: '00000', or the SQLSTATE of the error and said its message; found: how many rows; keys: of a statement that gives them.
create type probe.outcome as (state text, found bigint, keys text[], said text);

create function probe.run(statement text) returns probe.outcome language plpgsql as $$
declare
  made probe.outcome := ('00000', 0, null, null);
begin
  begin
    if statement ~ '^with' then
      execute statement into made.keys;
      made.found := coalesce(cardinality(made.keys), 0);
    else
      execute statement;
      get diagnostics made.found := row_count;
    end if;
    raise exception using errcode = 'UNDO0';
  exception
    when sqlstate 'UNDO0' then
      null;
    when others then
      made := (sqlstate, 0, null, sqlerrm);
  end;
  return made;
end $$;

create function probe.run_all(statements text[]) returns setof probe.outcome language plpgsql as $$
declare
  statement text;
begin
  foreach statement in array statements loop
    return next probe.run(statement);
  end loop;
end $$;
