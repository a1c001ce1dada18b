select world.chain('u02', '88602');
select world.domain_option('u02.example', 'digest', 'sha256');
