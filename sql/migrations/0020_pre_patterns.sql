-- What is stored can be run: the check of patterns is at least as strict as that of the workers (kemi/core/pattern.py).
set local role tandem_owner;

create function tandem.pattern_steps(pattern text) returns table (step text, class text)
language sql immutable strict
as $$
  select s[1],
         case when s[1] in ('(', '(?:', ')', '|') then s[1]
              when s[1] in ('^', '$') then 'edge'
              when s[1] ~ '^([*+?]|\{[0-9]+(,[0-9]*)?\})\??$' then 'repeat'
              when s[1] = '.' or s[1] ~ '^\[\^.*\]$' then 'other'
              when s[1] ~ '^(\[.*\]|[^\\{[]|\\[^A-Za-z0-9]|\\[dDwWsS])$' then 'set'
              else 'unknown' end
    from regexp_matches(pattern, '\(\?:|\\.|\[\^?\]?(?:\\.|[^]\\])*\]|[*+?]\??|\{[0-9]+(?:,[0-9]*)?\}\??|.', 'g') as s
$$;
comment on function tandem.pattern_steps is
  'The pattern cut into groups, edges, repeats, "set": one of some characters, "other": any of all others, and what is none of these.';

create function tandem.set_fault(step text) returns text
language plpgsql immutable strict
as $$
declare
  content constant text := left(regexp_replace(step, '^\[\^?', ''), -1);
  said    text[];
  ends    text[];
begin
  if content = '' then
    return 'has an empty set';
  elsif content ~ '^\[|--|&&|~~|\|\|' then
    return 'has a set that may mean two things; write a [ - & ~ or | in it with \ before it';
  end if;
  for said in select regexp_matches(content, '(?:\\.|[^\\])-(?:\\.|[^\\])|\\.|.', 'g') loop
    ends := regexp_match(said[1], '^(\\.|[^\\])-(\\.|[^\\])$');
    if ends[1] ~ '^\\[A-Za-z]' or ends[2] ~ '^\\[A-Za-z]' or ascii(right(ends[1], 1)) > ascii(right(ends[2], 1)) then
      return format('has a range %s in a set, which is none', said[1]);
    end if;
  end loop;
  return null;
end $$;
comment on function tandem.set_fault is 'What is wrong with a set of characters in brackets; null when nothing is.';

create function tandem.step_fault(step text, class text, class_before text) returns text
language plpgsql immutable strict
as $$
begin
  if step = '?' and class_before = '(' then
    return 'uses a group other than ( ) or (?: )';
  elsif class = 'repeat' and class_before = 'repeat' then
    return 'repeats a repeat';
  elsif class = 'repeat' and class_before in ('', '(', '(?:', '|', 'edge') then
    return format('is no regular expression: nothing stands before %s that could be repeated', step);
  elsif class = 'repeat' and (regexp_match(step, '^\{([0-9]+)'))[1]::numeric > (regexp_match(step, ',([0-9]+)'))[1]::numeric then
    return format('is no regular expression: %s counts down', step);
  elsif class = 'unknown' then
    return format('is no regular expression: %s stands alone', step);
  end if;
  return case when left(step, 1) = '[' then tandem.set_fault(step) end;
end $$;
comment on function tandem.step_fault is 'What is wrong with one step of a pattern after a step of that class, empty = it is the first; null when nothing is.';

create function tandem.repeat_paths(ways bigint, low integer, high integer) returns bigint
language plpgsql immutable strict
as $$
declare
  rounds constant integer := least(high, 128);
  each   bigint := 1;
  total  bigint := 0;
begin
  for n in 0 .. rounds loop
    total := least(total + case when n >= least(low, rounds) then each else 0 end, 2146690);
    each := least(each * ways, 2146690);
  end loop;
  return total;
end $$;
comment on function tandem.repeat_paths is
  'How many ways there are to match low to high times, in 128 characters, what matches in that many ways; counted up to 2146690.';

create function tandem.pattern_paths(pattern text) returns bigint
language plpgsql immutable strict
as $$
declare
  many      constant numeric := 2146690;  -- (128 + 1)^3 + 1: more than a worker tries
  token     record;
  counts    text[];
  open      bigint[] := '{}';             -- of each open group: product, sum and parts of what it stands in
  product   numeric := 1;                 -- ways of this branch up to its last part
  last      bigint := 1;                  -- ways of that part
  sum       numeric := 0;                 -- ways of the branches before
  parts     integer := 0;                 -- of this branch
  is_set    boolean := true;              -- each branch so far is one of some characters
  starts    integer := 129;
begin
  for token in select s.step, s.class, row_number() over () as place from tandem.pattern_steps(pattern) as s loop
    case token.class
      when 'repeat' then
        counts := regexp_match(token.step, '^\{([0-9]+)(,?)([0-9]*)');
        last := tandem.repeat_paths(last,
          coalesce(counts[1]::integer, case left(token.step, 1) when '+' then 1 else 0 end),
          coalesce(nullif(counts[3], '')::integer, case when counts[2] = '' then counts[1]::integer when left(token.step, 1) = '?' then 1 else 128 end));
        is_set := false;
      when '|' then
        sum := least(sum + product * last, many);
        is_set := is_set and parts = 1;
        product := 1; last := 1; parts := 0;
        starts := case cardinality(open) when 0 then 129 else starts end;
      when '(', '(?:' then
        open := array[least(product * last, many)::bigint, sum::bigint, parts + 1] || open;
        product := 1; last := 1; sum := 0; parts := 0; is_set := true;
      when ')' then
        last := case when is_set and parts = 1 then 1 else least(sum + product * last, many) end;
        product := open[1]; sum := open[2]; parts := open[3]; is_set := false;
        open := open[4:];
      else
        product := least(product * last, many);
        last := 1;
        parts := parts + 1;
        is_set := is_set and token.class = 'set';
        starts := case when token.place = 1 and token.step = '^' then 1 else starts end;
    end case;
  end loop;
  return least(starts * (sum + product * last), many);
end $$;
comment on function tandem.pattern_paths is
  'How many ways there are to try a pattern on 128 characters, counted up to 2146690; never fewer than kemi/core/pattern.py counts.';

-- The workers run Python's re. What the two engines read differently, and what neither bounds, is refused.
create or replace function tandem.pattern_fault(pattern text) returns text
language plpgsql immutable strict
as $$
declare
  token  record;
  before text := '';
  fault  text;
begin
  if length(pattern) > 256 then
    return format('has %s characters, at most 256 are allowed', length(pattern));
  elsif pattern ~ '[[:cntrl:]]' then
    return 'has a character that cannot be printed';
  elsif pattern ~ '\\[^dDwWsS[:punct:]]' then
    return 'uses an escape other than \d \w \s \D \W \S or \ before punctuation';
  elsif pattern ~ '\[[:.=]' then
    return 'uses a named character class; write the set out';
  end if;
  for token in select * from tandem.pattern_steps(pattern) loop
    fault := tandem.step_fault(token.step, token.class, before);
    exit when fault is not null;
    before := token.class;
  end loop;
  if fault is not null then
    return fault;
  end if;
  begin
    perform '' ~ pattern;
  exception when invalid_regular_expression then
    return 'is no regular expression: ' || sqlerrm;
  end;
  if tandem.pattern_paths(pattern) > 2146689 then
    return 'has nested or too many repeats: one call could keep a worker busy for ever';
  end if;
  return null;
end $$;
comment on function tandem.pattern_fault is
  'Why an operator''s regular expression is refused; null when it is fine. What passes here, kemi/core/pattern.py takes.';

-- What workers passed over, and what the two engines read differently, is seen to before this release and not found out after it.
do $$
declare
  wrong text;
begin
  select string_agg(format('%s %s %L %s', p.of_table, p.id, p.pattern, tandem.pattern_fault(p.pattern)), '; ' order by p.of_table, p.id) into wrong
    from (
      select 'rewrite rule' as of_table, r.id, r.pattern::text from tandem.rewrite_rule r
      union all select 'inbound rule', i.id, i.pattern from tandem.inbound_rule i
      union all select 'trusted source', t.id, t.from_pattern from tandem.trusted_source t
      union all select 'peering rule', r.id, u.pattern
        from tandem.peering_rule r, unnest(array[r.callee_pattern::text, r.caller_pattern::text]) as u(pattern)
    ) as p(of_table, id, pattern)
   where tandem.pattern_fault(p.pattern) is not null;
  if wrong is not null then
    raise check_violation using message = 'write these patterns another way, then migrate: ' || left(wrong, 2000);
  end if;
end $$;
